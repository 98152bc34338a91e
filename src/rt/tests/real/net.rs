//! gRPC and HTTP/1 on one port, deadlines, draining.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use reseed_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use reseed_rt::{
    clock,
    net::{
        ChannelOptions, Exec, Listener, ServeOptions, UpgradeAnswer, UpgradeRequest, channel,
        connect, serve, upgrade,
    },
    task::{self, Stop, Task},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};
use tonic::{Status, body::Body};

/// Long enough that only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

/// Answers `""`; `"slow"` waits for `release` and says on `entered` that it does.
#[derive(Default)]
struct Probe {
    entered: Notify,
    release: Notify,
}

#[tonic::async_trait]
impl Health for Probe {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        if request.get_ref().service == "slow" {
            self.entered.notify_one();
            self.release.notified().await;
        }
        Ok(tonic::Response::new(HealthCheckResponse { status: 1 }))
    }

    async fn list(
        &self,
        _: tonic::Request<HealthListRequest>,
    ) -> Result<tonic::Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

/// gRPC for the health service, plain text for anything else.
#[derive(Clone)]
struct Router(HealthServer<Probe>);

impl tower::Service<Request<Incoming>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.health.v1.Health/") {
            return Box::pin(self.0.call(request));
        }
        if let Some(asked) = UpgradeRequest::of(&mut request, "echo") {
            let answer = asked.agree("echo", |connection| async move {
                let (mut from, mut to) = tokio::io::split(connection);
                // Until either side is gone.
                let _copied = tokio::io::copy(&mut from, &mut to).await;
            });
            return Box::pin(async move { Ok(answer) });
        }
        let said = match request.uri().path() {
            "/thread" => format!("{:?}", std::thread::current().id()),
            _ => "plain".to_owned(),
        };
        let body = Body::new(http_body_util::Full::from(said).map_err_never());
        Box::pin(async move { Ok(Response::new(body)) })
    }
}

/// `Full` cannot fail, but tonic's body wants an error type it knows.
trait NeverFails: Sized {
    fn map_err_never(self) -> http_body_util::combinators::MapErr<Self, fn(Infallible) -> Status>;
}

impl NeverFails for http_body_util::Full<Bytes> {
    fn map_err_never(self) -> http_body_util::combinators::MapErr<Self, fn(Infallible) -> Status> {
        http_body_util::BodyExt::map_err(self, |never| match never {})
    }
}

struct Running {
    probe: Arc<Probe>,
    address: String,
    stop: Stop,
    server: Task<()>,
}

impl Running {
    async fn start(options: ServeOptions) -> Self {
        let probe = Arc::new(Probe::default());
        let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let stop = Stop::new();
        let router = Router(HealthServer::from_arc(probe.clone()));
        let server = task::spawn("server", serve(listener, router, options, stop.clone()));
        Self { probe, address, stop, server }
    }

    fn client(&self) -> HealthClient<tonic::transport::Channel> {
        HealthClient::new(channel(&self.address, ChannelOptions::default()))
    }
}

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// What one HTTP/1 request on a connection of its own is answered.
async fn get(server: &Running, path: &str) -> String {
    let mut plain = connect(&server.address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    plain.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    no_hang(plain.read_to_string(&mut answer)).await.expect("it answers and closes");
    answer
}

async fn no_hang<T>(work: impl Future<Output = T>) -> T {
    clock::timeout(HANG, work).await.expect("this does not hang")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_and_plain_http_share_a_port() {
    let server = Running::start(ServeOptions::default()).await;
    let mut client = server.client();
    for _ in 0..3 {
        let answer = no_hang(client.check(ask(""))).await.expect("the service answers");
        assert_eq!(answer.get_ref().status, 1);
    }
    let answer = get(&server, "/hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("plain"), "{answer}");
}

#[tokio::test]
async fn connections_are_spread_over_the_threads_that_serve() {
    let server = Running::start(ServeOptions { threads: 2, ..ServeOptions::default() }).await;
    let mut threads = Vec::new();
    for _ in 0..4 {
        let answer = get(&server, "/thread").await;
        threads.push(answer.rsplit("\r\n").next().expect("a body").to_owned());
    }
    assert!(threads[0] == threads[2] && threads[1] == threads[3], "in turn: {threads:?}");
    assert_ne!(threads[0], threads[1]);
    let here = format!("{:?}", std::thread::current().id());
    assert!(!threads.contains(&here), "{here} only accepts: {threads:?}");
    let mut client = server.client();
    no_hang(client.check(ask(""))).await.expect("the service answers");
    server.stop.cancel();
    no_hang(server.server).await.expect("serving ends though a client is connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_deadline_ends_the_call_on_the_server() {
    let server = Running::start(ServeOptions::default()).await;
    // By hand: tonic's channel would keep the deadline itself, on tokio's clock.
    let stream = TokioIo::new(connect(&server.address).await.expect("it listens"));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(Exec, stream).await.expect("a handshake");
    drop(task::spawn("client", connection));
    let message = Bytes::from_static(b"\0\0\0\0\x06\x0a\x04slow");
    let request = Request::post("http://x/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "50m")
        .body(http_body_util::Full::new(message))
        .expect("a request");
    let response = no_hang(sender.send_request(request)).await.expect("an answer");
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()["grpc-message"], "context deadline exceeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_running_requests_finish() {
    let server = Running::start(ServeOptions { drain_timeout: HANG, ..Default::default() }).await;
    let mut client = server.client();
    let running = task::spawn("client", async move { client.check(ask("slow")).await });
    server.probe.entered.notified().await;
    server.stop.cancel();
    assert!(!server.server.is_finished());
    server.probe.release.notify_one();
    no_hang(running).await.expect("not cancelled").expect("answered although stopping");
    no_hang(server.server).await.expect("the server ends by itself");
    assert!(connect(&server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_ends_cannot_hold_up_a_stop() {
    let drain_timeout = Duration::from_millis(20);
    let server = Running::start(ServeOptions { drain_timeout, ..Default::default() }).await;
    let mut client = server.client();
    let running = task::spawn("client", async move { client.check(ask("slow")).await });
    server.probe.entered.notified().await;
    server.stop.cancel();
    no_hang(server.server).await.expect("the server ends by itself");
    no_hang(running).await.expect("not cancelled").expect_err("it was cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait_for_room() {
    let server = Running::start(ServeOptions { connections_max: 1, ..Default::default() }).await;
    let mut first = connect(&server.address).await.expect("it listens");
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    first.write_all(request).await.expect("it reads");
    let mut byte = [0];
    no_hang(first.read_exact(&mut byte)).await.expect("the first is served");
    let mut second = connect(&server.address).await.expect("the backlog takes it");
    second.write_all(request).await.expect("the kernel takes it");
    drop(first);
    no_hang(second.read_exact(&mut byte)).await.expect("served once the first is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_its_own_connection_only() {
    let server = Running::start(ServeOptions::default()).await;
    let garbage: [&[u8]; 3] = [
        b"\x00\x01\x02\x03 not http at all \r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"GET / HTTP/9.9\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = connect(&server.address).await.expect("it listens");
        stream.write_all(bytes).await.expect("the kernel takes it");
        let mut rest = Vec::new();
        // Closed or reset: both end it.
        let _ended = no_hang(stream.read_to_end(&mut rest)).await;
    }
    no_hang(server.client().check(ask(""))).await.expect("the others do not notice");
}

/// Silent, or stuck inside HTTP/2's preface: neither keeps its place among the connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_is_closed() {
    let header_read_timeout = Duration::from_millis(50);
    let options = ServeOptions { header_read_timeout, ..ServeOptions::default() };
    let server = Running::start(options).await;
    for said in [b"".as_slice(), b"PRI * HT"] {
        let mut stream = connect(&server.address).await.expect("it listens");
        stream.write_all(said).await.expect("the kernel takes it");
        let mut rest = Vec::new();
        // Closed or reset: both end it.
        let _ended = no_hang(stream.read_to_end(&mut rest)).await;
    }
    no_hang(server.client().check(ask(""))).await.expect("the others do not notice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_goes_on_as_another_protocol_until_the_server_stops() {
    let drain_timeout = 2 * HANG;
    let server = Running::start(ServeOptions { drain_timeout, ..Default::default() }).await;
    let ask = |protocol| upgrade(&server.address, "/any", protocol, HeaderMap::new());
    let UpgradeAnswer::Agreed(mut echo) = no_hang(ask("echo")).await.expect("it listens") else {
        panic!("refused");
    };
    let mut said = [0; 5];
    echo.write_all(b"hello").await.expect("it reads");
    no_hang(echo.read_exact(&mut said)).await.expect("it answers");
    assert_eq!(&said, b"hello");
    let refused = no_hang(ask("chess")).await.expect("it listens");
    assert!(matches!(refused, UpgradeAnswer::Refused(_)), "{refused:?}");
    server.stop.cancel();
    no_hang(server.server).await.expect("the server ends by itself");
    let mut rest = Vec::new();
    // Closed or reset: both end it.
    let _ended = no_hang(echo.read_to_end(&mut rest)).await;
    assert!(no_hang(upgrade(&server.address, "/any", "echo", HeaderMap::new())).await.is_err());
}
