//! Clients that do not keep to any protocol: the member answers or hangs up, and stays healthy.

use std::io::Write;
use std::net::TcpStream;

use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use crate::support::{Api, Node, http};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Bytes without meaning, the same in every run.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Sends `bytes` after the HTTP/2 preface and does not wait for more than the connection's end.
fn after_preface(node: &Node, bytes: &[u8]) {
    let mut stream = http::connect(node.address()).expect("a connection");
    let all = [PREFACE, SETTINGS, bytes].concat();
    // Hanging up on us is a fine answer.
    _ = stream.write_all(&all);
    _ = stream.shutdown(std::net::Shutdown::Write);
    let mut rest = Vec::new();
    _ = std::io::Read::read_to_end(&mut stream, &mut rest);
}

async fn assert_serving(node: &mut Node) {
    node.assert_healthy();
    let api = Api::connect(node).await;
    api.put("after", "garbage").await;
}

#[tokio::test]
async fn noise_instead_of_a_protocol() {
    let mut node = Node::start();
    for seed in 0..40 {
        let bytes = noise(seed, 1 + 37 * seed as usize);
        let mut stream = http::connect(node.address()).expect("a connection");
        _ = stream.write_all(&bytes);
    }
    for text in ["GET\r\n\r\n", "\0\0\0\0", "POST / HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut stream = http::connect(node.address()).expect("a connection");
        _ = stream.write_all(text.as_bytes());
    }
    assert_serving(&mut node).await;
}

#[tokio::test]
async fn frames_that_make_no_sense() {
    let mut node = Node::start();
    let mut scripts = vec![
        frame(0, 0, 1, b"data on a stream nobody opened"),
        frame(1, 4, 1, &noise(1, 200)),
        frame(1, 4, 2, b"\x82\x86\x84"),
        frame(1, 0, 1, b"\x82"),
        frame(2, 0, 1, b"\0\0"),
        frame(3, 0, 1, &[0; 4]),
        frame(4, 0, 0, &[0; 5]),
        frame(4, 1, 0, b"acknowledged with a payload"),
        frame(5, 0, 1, &[0; 8]),
        frame(6, 0, 0, &[0; 3]),
        frame(7, 0, 0, &[0; 2]),
        frame(8, 0, 0, &[0; 4]),
        frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        frame(9, 0, 1, b"continues nothing"),
        frame(0xfe, 0xff, 0x7fff_ffff, &noise(2, 100)),
        vec![0xff; 9],
    ];
    // A header block that never ends.
    let mut endless = frame(1, 0, 1, b"\x82\x86\x84");
    for _ in 0..2_000 {
        endless.extend(frame(9, 0, 1, &[0; 64]));
    }
    scripts.push(endless);
    for script in &scripts {
        after_preface(&node, script);
    }
    assert_serving(&mut node).await;
}

#[tokio::test]
async fn streams_opened_and_reset_by_the_thousand() {
    let mut node = Node::start();
    let mut script = Vec::new();
    for i in 0..5_000 {
        let stream = 1 + 2 * i;
        // :method POST, :scheme http, :path /
        script.extend(frame(1, 4, stream, b"\x83\x86\x84"));
        script.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    after_preface(&node, &script);
    let pings: Vec<u8> = (0..5_000).flat_map(|_| frame(6, 0, 0, &[7; 8])).collect();
    after_preface(&node, &pings);
    let settings: Vec<u8> = (0..5_000).flat_map(|_| SETTINGS.to_vec()).collect();
    after_preface(&node, &settings);
    assert_serving(&mut node).await;
}

#[tokio::test]
async fn headers_without_end() {
    let mut node = Node::start();
    let huge = "x".repeat(1 << 20);
    let request = format!("GET /health HTTP/1.1\r\nHost: a\r\nX-Huge: {huge}\r\n\r\n");
    let answer = http::request(node.address(), &request);
    assert!(answer.is_none_or(|answer| answer.status >= 400), "a megabyte of header is refused");
    let many: String = (0..20_000).map(|i| format!("X-{i}: y\r\n")).collect();
    let request = format!("GET /health HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    let answer = http::request(node.address(), &request);
    assert!(answer.is_none_or(|answer| answer.status >= 400), "20,000 headers are refused");
    let path = format!("GET /{huge} HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = http::request(node.address(), &path);
    assert!(answer.is_none_or(|answer| answer.status >= 400), "a megabyte of path is refused");
    let api = Api::connect(&node).await;
    let mut request = Request::new(reseed_proto::etcdserverpb::StatusRequest {});
    let value = "y".repeat(200_000).parse().expect("ASCII");
    request.metadata_mut().insert("x-huge", value);
    api.maintenance().status(request).await.expect_err("metadata of 200 kB is refused");
    assert_serving(&mut node).await;
}

#[tokio::test]
async fn half_open_connections_cost_others_nothing() {
    let mut node = Node::start();
    let mut open: Vec<TcpStream> = Vec::new();
    for i in 0..200 {
        let mut stream = http::connect(node.address()).expect("a connection");
        let part: &[u8] = match i % 4 {
            0 => b"",
            1 => b"GET /health HT",
            2 => &PREFACE[..10],
            _ => PREFACE,
        };
        stream.write_all(part).expect("the connection is new");
        open.push(stream);
    }
    // Streams that begin a request and never finish it.
    let api = Api::connect(&node).await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(api.watch_stream().await);
    }
    assert_serving(&mut node).await;
    drop(open);
    drop(streams);
    assert_serving(&mut node).await;
}

/// Sends what it is given, and hands out what it gets, as it is.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

async fn call(api: &Api, method: &'static str, message: Bytes) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(api.channel());
    grpc.ready().await.expect("a connection");
    let path = http_path(method);
    grpc.unary(Request::new(message), path, Raw).await.map(tonic::Response::into_inner)
}

fn http_path(method: &'static str) -> tonic::codegen::http::uri::PathAndQuery {
    tonic::codegen::http::uri::PathAndQuery::from_static(method)
}

#[tokio::test]
async fn messages_that_are_none() {
    let mut node = Node::start();
    let api = Api::connect(&node).await;
    let methods = [
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.KV/Put",
        "/etcdserverpb.KV/DeleteRange",
        "/etcdserverpb.KV/Txn",
        "/etcdserverpb.KV/Compact",
        "/etcdserverpb.Lease/LeaseGrant",
        "/etcdserverpb.Lease/LeaseRevoke",
        "/etcdserverpb.Lease/LeaseTimeToLive",
        "/etcdserverpb.Maintenance/Alarm",
        "/etcdserverpb.Maintenance/HashKV",
    ];
    for (seed, method) in (0..).zip(methods) {
        for len in [1_usize, 7, 100, 10_000] {
            // 0xff opens a field of a wire type that does not exist.
            let message = [vec![0xff], noise(seed, len)].concat();
            let status = call(&api, method, message.into()).await.expect_err("not a message");
            assert!(
                matches!(status.code(), Code::Internal | Code::InvalidArgument | Code::Unknown),
                "{method}: {status:?}"
            );
        }
    }
    // A transaction in a transaction in a transaction …, deeper than anybody decodes.
    let mut nested = Vec::new();
    for _ in 0..5_000 {
        let op = [vec![0x22], length(nested.len()), nested].concat();
        nested = [vec![0x12], length(op.len()), op].concat();
    }
    call(&api, "/etcdserverpb.KV/Txn", nested.into()).await.expect_err("far too deep");
    let status = call(&api, "/etcdserverpb.KV/NoSuchThing", Bytes::new()).await;
    assert_eq!(status.expect_err("no such method").code(), Code::Unimplemented);
    let status = call(&api, "/nobody.Home/Here", Bytes::new()).await;
    assert_eq!(status.expect_err("no such service").code(), Code::Unimplemented);
    assert_serving(&mut node).await;
}

fn length(mut len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while len >= 0x80 {
        bytes.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes
}

#[tokio::test]
async fn invented_versions_are_not_remembered() {
    let mut node = Node::start();
    let api = Api::connect(&node).await;
    for i in 0..300 {
        let mut request = Request::new(reseed_proto::etcdserverpb::StatusRequest {});
        let version = format!("99.{i}").parse().expect("ASCII");
        request.metadata_mut().insert("client-api-version", version);
        api.maintenance().status(request).await.expect("status");
    }
    let metrics = http::get(node.address(), "/metrics").expect("an answer").body;
    let kinds = metrics.lines().filter(|l| l.starts_with("etcd_server_client_requests_total{"));
    assert!(kinds.count() < 10, "one series for all that do not exist");
    assert_serving(&mut node).await;
}
