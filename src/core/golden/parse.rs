//! The language of golden traces: words, close to etcdctl's.
//!
//! ```text
//! put KEY VALUE [lease=N] [prev] [ignore-value] [ignore-lease]      VALUE "" is empty
//! get KEY [END] [rev=N] [limit=N] [sort=TARGET] [desc|asc] [keys] [count]
//!               [min-mod=N] [max-mod=N] [min-create=N] [max-create=N]
//! del KEY [END] [prev]                                              END .. is "\0"
//! txn if TARGET KEY [END] OP WANTED , ... then REQUEST ; ... else REQUEST ; ... end
//! read-txn ...                                                      the same, without the log
//! compact N    scrub N    history N    hash N    restart    leases    dump
//! grant ID TTL    revoke ID    checkpoint ID SECS    alarm get|on|off NAME
//! ```

use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::{FromStr, SplitWhitespace};

use bytes::Bytes;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use reseed_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use reseed_proto::etcdserverpb::request_op::Request as Op;
use reseed_proto::log::log_entry::Request;

/// One line of a trace.
pub(crate) enum Command {
    Apply(Request),
    Range(pb::RangeRequest),
    ReadTxn(pb::TxnRequest),
    Scrub(usize),
    History(i64),
    Hash(i64),
    Restart,
    Leases,
    Dump,
}

struct Words<'a>(Peekable<SplitWhitespace<'a>>);

/// Reads a command; a malformed one panics, for traces are ours.
pub(crate) fn command(line: &str) -> Command {
    let mut words = Words(line.split_whitespace().peekable());
    let command = match words.next() {
        "put" => Command::Apply(Request::Put(words.put())),
        "get" => Command::Range(words.get()),
        "del" => Command::Apply(Request::DeleteRange(words.del())),
        "txn" => Command::Apply(Request::Txn(words.txn())),
        "read-txn" => Command::ReadTxn(words.txn()),
        "compact" => Command::Apply(Request::Compaction(pb::CompactionRequest {
            revision: words.number(),
            physical: false,
        })),
        "grant" => Command::Apply(Request::LeaseGrant(pb::LeaseGrantRequest {
            id: words.number(),
            ttl: words.number(),
        })),
        "revoke" => {
            Command::Apply(Request::LeaseRevoke(pb::LeaseRevokeRequest { id: words.number() }))
        }
        "checkpoint" => {
            let one = pb::LeaseCheckpoint { id: words.number(), remaining_ttl: words.number() };
            let checkpoints = alloc::vec![one];
            Command::Apply(Request::LeaseCheckpoint(pb::LeaseCheckpointRequest { checkpoints }))
        }
        "alarm" => Command::Apply(Request::Alarm(words.alarm())),
        "scrub" => Command::Scrub(words.number()),
        "history" => Command::History(words.number()),
        "hash" => Command::Hash(words.number()),
        "restart" => Command::Restart,
        "leases" => Command::Leases,
        "dump" => Command::Dump,
        other => panic!("no command {other}"),
    };
    assert_eq!(words.0.next(), None, "too many words: {line}");
    command
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        self.0.next().expect("another word")
    }

    fn number<T: FromStr<Err: core::fmt::Debug>>(&mut self) -> T {
        self.next().parse().expect("a number")
    }

    fn bytes(&mut self) -> Bytes {
        match self.next() {
            ".." => Bytes::from_static(b"\0"),
            "\"\"" => Bytes::new(),
            word => Bytes::copy_from_slice(word.as_bytes()),
        }
    }

    /// The next word if it begins with `prefix`, without it.
    fn option(&mut self, prefix: &str) -> Option<&'a str> {
        let rest = self.0.peek()?.strip_prefix(prefix)?;
        self.0.next();
        Some(rest)
    }

    fn flag(&mut self, name: &str) -> bool {
        self.0.next_if(|word| *word == name).is_some()
    }

    fn option_number(&mut self, prefix: &str) -> i64 {
        self.option(prefix).map_or(0, |n| n.parse().expect("a number"))
    }

    /// A range end, unless an option or the end of the operation comes.
    fn end(&mut self) -> Bytes {
        const NOT_KEYS: &[&str] =
            &["prev", "keys", "count", "desc", "asc", ";", "else", "end", "=", "!=", ">", "<"];
        let is_end = |word: &&str| {
            let is_option = !word.starts_with('=') && word.contains('=') && *word != "!=";
            !is_option && !NOT_KEYS.contains(word)
        };
        if self.0.peek().is_some_and(is_end) { self.bytes() } else { Bytes::new() }
    }

    fn put(&mut self) -> pb::PutRequest {
        pb::PutRequest {
            key: self.bytes(),
            value: self.bytes(),
            lease: self.option_number("lease="),
            prev_kv: self.flag("prev"),
            ignore_value: self.flag("ignore-value"),
            ignore_lease: self.flag("ignore-lease"),
        }
    }

    fn get(&mut self) -> pb::RangeRequest {
        let (key, range_end) = (self.bytes(), self.end());
        let revision = self.option_number("rev=");
        let limit = self.option_number("limit=");
        let sort_target = self.option("sort=").map_or(SortTarget::Key, |name| match name {
            "key" => SortTarget::Key,
            "version" => SortTarget::Version,
            "create" => SortTarget::Create,
            "mod" => SortTarget::Mod,
            "value" => SortTarget::Value,
            other => panic!("no sort target {other}"),
        });
        let sort_order = match (self.flag("desc"), self.flag("asc")) {
            (true, _) => SortOrder::Descend,
            (_, true) => SortOrder::Ascend,
            _ => SortOrder::None,
        };
        pb::RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order: sort_order.into(),
            sort_target: sort_target.into(),
            serializable: false,
            keys_only: self.flag("keys"),
            count_only: self.flag("count"),
            min_mod_revision: self.option_number("min-mod="),
            max_mod_revision: self.option_number("max-mod="),
            min_create_revision: self.option_number("min-create="),
            max_create_revision: self.option_number("max-create="),
        }
    }

    fn del(&mut self) -> pb::DeleteRangeRequest {
        pb::DeleteRangeRequest {
            key: self.bytes(),
            range_end: self.end(),
            prev_kv: self.flag("prev"),
        }
    }

    fn txn(&mut self) -> pb::TxnRequest {
        let mut txn = pb::TxnRequest::default();
        if self.flag("if") {
            txn.compare.push(self.compare());
            while self.flag(",") {
                txn.compare.push(self.compare());
            }
        }
        if self.flag("then") {
            txn.success = self.branch();
        }
        if self.flag("else") {
            txn.failure = self.branch();
        }
        assert!(self.flag("end"), "a txn ends with `end`");
        txn
    }

    fn branch(&mut self) -> Vec<pb::RequestOp> {
        let mut ops = Vec::new();
        loop {
            let op = match self.next() {
                "put" => Op::RequestPut(self.put()),
                "get" => Op::RequestRange(self.get()),
                "del" => Op::RequestDeleteRange(self.del()),
                "txn" => Op::RequestTxn(self.txn()),
                other => panic!("no operation {other}"),
            };
            ops.push(pb::RequestOp { request: Some(op) });
            if !self.flag(";") {
                return ops;
            }
        }
    }

    fn compare(&mut self) -> pb::Compare {
        let target = match self.next() {
            "version" => CompareTarget::Version,
            "create" => CompareTarget::Create,
            "mod" => CompareTarget::Mod,
            "value" => CompareTarget::Value,
            "lease" => CompareTarget::Lease,
            other => panic!("no compare target {other}"),
        };
        let (key, range_end) = (self.bytes(), self.end());
        let result = match self.next() {
            "=" => CompareResult::Equal,
            "!=" => CompareResult::NotEqual,
            ">" => CompareResult::Greater,
            "<" => CompareResult::Less,
            other => panic!("no compare result {other}"),
        };
        let wanted = match target {
            CompareTarget::Version => TargetUnion::Version(self.number()),
            CompareTarget::Create => TargetUnion::CreateRevision(self.number()),
            CompareTarget::Mod => TargetUnion::ModRevision(self.number()),
            CompareTarget::Value => TargetUnion::Value(self.bytes()),
            CompareTarget::Lease => TargetUnion::Lease(self.number()),
        };
        pb::Compare {
            result: result.into(),
            target: target.into(),
            key,
            range_end,
            target_union: Some(wanted),
        }
    }

    fn alarm(&mut self) -> pb::AlarmRequest {
        use pb::alarm_request::AlarmAction;
        let action = match self.next() {
            "get" => AlarmAction::Get,
            "on" => AlarmAction::Activate,
            "off" => AlarmAction::Deactivate,
            other => panic!("no alarm action {other}"),
        };
        let alarm = match self.next() {
            "all" => pb::AlarmType::None,
            "nospace" => pb::AlarmType::Nospace,
            "corrupt" => pb::AlarmType::Corrupt,
            other => panic!("no alarm {other}"),
        };
        pb::AlarmRequest { action: action.into(), member_id: 1, alarm: alarm.into() }
    }
}
