//! put, get, del: from arguments to requests (`txn` uses them too), and the commands themselves.

use std::{io::Read as _, time::Duration};

use reseed_client::{
    Delete, Get, Put,
    op::{SortOrder, SortTarget},
};
use reseed_proto::etcdserverpb::{RangeRequest, RangeResponse};
use reseed_rt::clock;

use super::{
    CtlError, Session,
    args::{DelArgs, GetArgs, PutArgs},
    lease_id,
    print::{Answer, Format, Style},
    text, warn,
};

const PREFIX_AND_FROM_KEY: &str =
    "`--prefix` and `--from-key` cannot be set at the same time, choose one";
const TOO_MANY_ARGS: &str =
    "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";
/// Time to think better of deleting a range (etcdctl 3.6).
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

pub(super) async fn put(session: &Session, args: &PutArgs) -> Result<(), CtlError> {
    let request = put_request(args)?;
    let response = session.client.put(request).await?;
    session.show(&Answer::Put(response))
}

pub(super) async fn get(session: &Session, args: &GetArgs) -> Result<(), CtlError> {
    let request = get_request(args)?;
    let format = session.style.format;
    if args.count_only && format != Format::Fields {
        return Err(CtlError::bad_args("--count-only is only for `--write-out=fields`"));
    }
    if args.print_value_only && format != Format::Simple {
        return Err(CtlError::bad_args("print-value-only is only for `--write-out=simple`"));
    }
    let style = Style { is_value_only: args.print_value_only, ..session.style };
    if !args.stream {
        let response = session.client.get(request).await?;
        return session.show_as(&Answer::Get(response), style);
    }
    let mut whole = RangeResponse::default();
    let collect = |piece: RangeResponse| {
        whole.kvs.extend(piece.kvs);
        whole.header = piece.header.or(whole.header.take());
        whole.more |= piece.more;
        whole.count = whole.count.max(piece.count);
    };
    session.client.get_stream(request, collect).await?;
    session.show_as(&Answer::Get(whole), style)
}

pub(super) async fn del(session: &Session, args: &DelArgs) -> Result<(), CtlError> {
    let request = del_request(args)?;
    if let ([first, end], false) = (args.args.as_slice(), args.range) {
        let (first, end) = (text::quote(first.as_bytes()), text::quote(end.as_bytes()));
        warn(format!(
            "Warning: Keys between {first} and {end} will be deleted. Please interrupt the \
             command within next 2 seconds to cancel. You can provide `--range` flag to avoid \
             the delay."
        ));
        clock::sleep(SECOND_THOUGHTS).await;
    }
    let response = session.client.delete(request).await?;
    session.show(&Answer::Delete(response))
}

pub(super) fn put_request(args: &PutArgs) -> Result<Put, CtlError> {
    let needs = "put command needs 1 argument and input from stdin or 2 arguments";
    let Some(key) = args.args.first() else { return Err(CtlError::bad_args(needs)) };
    if args.ignore_value && args.args.len() > 1 {
        let text = "put command needs only 1 argument when 'ignore-value' is set";
        return Err(CtlError::bad_args(text));
    }
    let value = match args.args.get(1) {
        Some(value) => value.clone().into_bytes(),
        None if args.ignore_value => Vec::new(),
        None => {
            let mut value = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut value);
            match read {
                Ok(1..) => value,
                Ok(0) | Err(_) => return Err(CtlError::bad_args(needs)),
            }
        }
    };
    let lease = lease_id(&args.lease, "lease ID")?;
    let mut put = Put::new(key.clone(), value).lease(lease);
    if args.prev_kv {
        put = put.prev_kv();
    }
    if args.ignore_value {
        put = put.ignore_value();
    }
    if args.ignore_lease {
        put = put.ignore_lease();
    }
    Ok(put)
}

pub(super) fn get_request(args: &GetArgs) -> Result<RangeRequest, CtlError> {
    if args.keys_only && args.count_only {
        let text = "`--keys-only` and `--count-only` cannot be set at the same time, choose one";
        return Err(CtlError::bad_args(text));
    }
    let mut get =
        match keys("get", &args.args, Span { prefix: args.prefix, from_key: args.from_key })? {
            Keys::One(key) => Get::key(key),
            Keys::Range(key, end) => Get::range(key, end),
            Keys::Prefix(prefix) => Get::prefix(prefix),
            Keys::From(key) => Get::from_key(key),
        };
    get = get.limit(args.limit).revision(args.rev).sort(target(args)?, order(args)?);
    get = get.mod_revisions(args.min_mod_rev, args.max_mod_rev);
    get = get.create_revisions(args.min_create_rev, args.max_create_rev);
    if !is_linearizable(&args.consistency)? {
        get = get.serializable();
    }
    if args.keys_only {
        get = get.keys_only();
    }
    if args.count_only {
        get = get.count_only();
    }
    Ok(get.into())
}

pub(super) fn del_request(args: &DelArgs) -> Result<Delete, CtlError> {
    let delete =
        match keys("del", &args.args, Span { prefix: args.prefix, from_key: args.from_key })? {
            Keys::One(key) => Delete::key(key),
            Keys::Range(key, end) => Delete::range(key, end),
            Keys::Prefix(prefix) => Delete::prefix(prefix),
            Keys::From(key) => Delete::from_key(key),
        };
    Ok(if args.prev_kv { delete.prev_kv() } else { delete })
}

/// The keys a command is about.
enum Keys {
    One(String),
    Range(String, String),
    Prefix(String),
    From(String),
}

/// How the first argument is meant.
struct Span {
    prefix: bool,
    from_key: bool,
}

fn keys(command: &str, args: &[String], span: Span) -> Result<Keys, CtlError> {
    match (args, span.prefix, span.from_key) {
        (_, true, true) => Err(CtlError::bad_args(PREFIX_AND_FROM_KEY)),
        ([key], false, false) => Ok(Keys::One(key.clone())),
        ([key, end], false, false) => Ok(Keys::Range(key.clone(), end.clone())),
        ([key], true, false) => Ok(Keys::Prefix(key.clone())),
        ([key], false, true) => Ok(Keys::From(key.clone())),
        ([_, _], _, _) => Err(CtlError::bad_args(TOO_MANY_ARGS)),
        _ => Err(CtlError::bad_args(format!(
            "{command} command needs one argument as key and an optional argument as range_end"
        ))),
    }
}

/// `l` or `s`.
pub(super) fn is_linearizable(consistency: &str) -> Result<bool, CtlError> {
    match consistency {
        "l" => Ok(true),
        "s" => Ok(false),
        other => Err(CtlError::bad_feature(format!("unknown consistency flag {other:?}"))),
    }
}

fn order(args: &GetArgs) -> Result<SortOrder, CtlError> {
    match args.order.to_uppercase().as_str() {
        "" => Ok(SortOrder::None),
        "ASCEND" => Ok(SortOrder::Ascend),
        "DESCEND" => Ok(SortOrder::Descend),
        _ => Err(CtlError::bad_feature(format!("bad sort order {}", args.order))),
    }
}

fn target(args: &GetArgs) -> Result<SortTarget, CtlError> {
    match args.sort_by.to_uppercase().as_str() {
        "" | "KEY" => Ok(SortTarget::Key),
        "CREATE" => Ok(SortTarget::Create),
        "MODIFY" => Ok(SortTarget::Mod),
        "VALUE" => Ok(SortTarget::Value),
        "VERSION" => Ok(SortTarget::Version),
        _ => Err(CtlError::bad_feature(format!("bad sort target {}", args.sort_by))),
    }
}
