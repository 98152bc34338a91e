//! watch: one watch to the terminal or to a command per event, or many by dialogue (`-i`).

use std::collections::BTreeMap;

use reseed_client::{Error, Watch, WatchEvents, Watcher};
use reseed_proto::{etcdserverpb::ResponseHeader, mvccpb::Event};
use reseed_rt::{chan, task};

use super::{
    CtlError, Session,
    args::{self, WatchArgs, WatchLine},
    print::{Answer, Style, WatchAnswer},
    text, warn, write_out,
};

/// Batches of all watches of a dialogue that wait to be printed.
const BATCHES_MAX: usize = 16;

type Env = BTreeMap<String, String>;

pub(super) async fn run(session: &Session, args: WatchArgs, env: &Env) -> Result<(), CtlError> {
    if args.interactive {
        return dialogue(session, env).await;
    }
    let request = request(&args, env)?;
    let mut watcher = match session.client.watch(request).await {
        Ok(watcher) => watcher,
        Err(error) => return ended(session, ResponseHeader::default(), error),
    };
    while let Some(batch) = watcher.next().await {
        match batch {
            Ok(batch) => show(session.style, &batch, &args.exec)?,
            Err(error) => return ended(session, *watcher.created(), error),
        }
    }
    Ok(())
}

/// The watch that the arguments describe, or `ETCDCTL_WATCH_KEY` where they name no key.
fn request(args: &WatchArgs, env: &Env) -> Result<Watch, CtlError> {
    let variable = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
    let mut range = args.args.clone();
    if range.is_empty() {
        range.extend(variable("ETCDCTL_WATCH_KEY"));
        if !range.is_empty() {
            range.extend(variable("ETCDCTL_WATCH_RANGE_END"));
        }
    }
    let mut watch = match (range.as_slice(), args.prefix) {
        ([key], true) => Watch::prefix(key.clone()),
        ([key], false) => Watch::key(key.clone()),
        ([key, end], false) => Watch::range(key.clone(), end.clone()),
        ([_, _], true) => {
            return Err(CtlError::bad_args("`range_end` and `--prefix` are mutually exclusive"));
        }
        _ => return Err(CtlError::bad_args("bad number of arguments")),
    };
    watch = watch.start_revision(args.rev);
    if args.prev_kv {
        watch = watch.prev_kv();
    }
    if args.progress_notify {
        watch = watch.progress_notify();
    }
    Ok(watch)
}

fn show(style: Style, batch: &WatchEvents, exec: &[String]) -> Result<(), CtlError> {
    if batch.is_progress() {
        write_out(format!("progress notify: {}\n", batch.header.revision))?;
    }
    let answer = WatchAnswer {
        header: batch.header,
        events: batch.events.clone(),
        ..WatchAnswer::default()
    };
    write_out(Answer::Watch(answer).render(style)?)?;
    match exec.split_first() {
        None => Ok(()),
        Some((program, args)) => {
            let revision = batch.header.revision;
            batch.events.iter().try_for_each(|event| execute(program, args, (revision, event)))
        }
    }
}

/// Runs a command for an event, which it finds in its environment.
fn execute(
    program: &str,
    args: &[String],
    (revision, event): (i64, &Event),
) -> Result<(), CtlError> {
    let pair = event.kv.clone().unwrap_or_default();
    let kind = text::quote(event.r#type().as_str_name().as_bytes());
    // The command's own failure is the command's business, as long as it could be run.
    let run = std::process::Command::new(program)
        .args(args)
        .env("ETCD_WATCH_REVISION", revision.to_string())
        .env("ETCD_WATCH_EVENT_TYPE", kind)
        .env("ETCD_WATCH_KEY", text::quote(&pair.key))
        .env("ETCD_WATCH_VALUE", text::quote(&pair.value))
        .status();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CtlError::general(format!("command {program:?} error ({status})"))),
        Err(error) => Err(CtlError::general(format!("command {program:?} error ({error})"))),
    }
}

/// Tells why a watch is over, under the header that confirmed it.
fn ended(session: &Session, header: ResponseHeader, error: Error) -> Result<(), CtlError> {
    let compact_revision = match &error {
        Error::WatchCompacted { compact_revision } => *compact_revision,
        Error::WatchCanceled(_) => 0,
        _ => return Err(error.into()),
    };
    let header = ResponseHeader { revision: 0, ..header };
    let answer = WatchAnswer { header, events: Vec::new(), compact_revision, is_canceled: true };
    warn(format!("watch was canceled ({error})"));
    session.show(&Answer::Watch(answer))?;
    Err(CtlError::interrupted("watch is canceled by the server"))
}

/// What the dialogue waits for.
enum Turn {
    Line(Option<String>),
    Batch(Result<WatchEvents, Error>, Vec<String>),
}

/// Reads watches from standard input and prints them all as they come.
async fn dialogue(session: &Session, env: &Env) -> Result<(), CtlError> {
    let (turns, mut next) = chan::bounded("ctl.watch", BATCHES_MAX);
    let lines = turns.clone();
    drop(task::spawn_thread("ctl.stdin", move || {
        Box::pin(async move {
            let mut line = String::new();
            while std::io::stdin().read_line(&mut line).is_ok_and(|len| len > 0) {
                let read = std::mem::take(&mut line).trim().to_owned();
                if lines.send(Turn::Line(Some(read))).await.is_err() {
                    return;
                }
            }
            lines.send(Turn::Line(None)).await.ok();
        })
    }));
    let mut first = None;
    while let Some(turn) = next.recv().await {
        let line = match turn {
            Turn::Batch(Ok(batch), exec) => {
                show(session.style, &batch, &exec)?;
                continue;
            }
            Turn::Batch(Err(error), _) => {
                return ended(session, ResponseHeader::default(), error);
            }
            Turn::Line(Some(line)) => line,
            Turn::Line(None) => {
                return Err(CtlError::invalid_input("Error reading watch request line: EOF"));
            }
        };
        let words = text::words(&line).unwrap_or_default();
        match args::parse_line::<WatchLine>(&words) {
            None if words.first().is_some_and(|word| word == "watch") => {
                warn(format!("Invalid command {line} (cannot be read)"));
            }
            None => warn(format!("Invalid command {line} (only support watch and progress)")),
            Some(WatchLine::Progress) => {
                // Any watcher can ask: the answer is for the whole stream.
                if let Some(progress) = &first {
                    let watcher: &Watcher = progress;
                    watcher.request_progress().await?;
                }
            }
            Some(WatchLine::Watch(args)) => match request(&args, env) {
                Err(error) => warn(format!("Invalid command {line} ({})", error.text)),
                Ok(request) => {
                    let watcher = session.client.watch(request).await?;
                    if first.is_none() {
                        // Watches nothing that exists; keeps the way to ask open.
                        first = Some(session.client.watch(Watch::key("\0")).await?);
                    }
                    forward(watcher, args.exec, turns.clone());
                }
            },
        }
    }
    Ok(())
}

/// Brings a watcher's batches to the one who prints.
fn forward(mut watcher: Watcher, exec: Vec<String>, turns: chan::Sender<Turn>) {
    drop(task::spawn("ctl.watch", async move {
        while let Some(batch) = watcher.next().await {
            if turns.send(Turn::Batch(batch, exec.clone())).await.is_err() {
                return;
            }
        }
    }));
}
