//! JSON as Go's `encoding/json` makes it of etcd's structures: their field order, defaults left
//! out where the structure says so, bytes in base64.

use reseed_proto::{
    etcdserverpb::{
        DeleteRangeResponse, HashKvResponse, Member, PutResponse, RangeResponse, ResponseHeader,
        StatusResponse, TxnResponse, response_op::Response,
    },
    mvccpb::{Event, KeyValue},
};

use super::{Answer, Health, WatchAnswer, text};

pub(super) fn render(answer: &Answer, is_hex: bool) -> String {
    match answer {
        Answer::Put(response) => put(response),
        Answer::Get(response) => get(response),
        Answer::Delete(response) => delete(response),
        Answer::Txn(response) => txn(response),
        Answer::Watch(answer) => watch(answer),
        Answer::Members(r) => Object::new()
            .some(
                "header",
                r.header.as_ref().map(|h| if is_hex { hex_header(h) } else { header(h) }),
            )
            .list("members", r.members.iter().map(|m| member(m, is_hex)))
            .end(),
        Answer::Changed(r) => Object::new()
            .some(
                "header",
                r.header.as_ref().map(|h| if is_hex { hex_header(h) } else { header(h) }),
            )
            .some("member", r.added.as_ref().map(|m| member(m, is_hex)))
            .list("members", r.members.iter().map(|m| member(m, is_hex)))
            .end(),
        Answer::Health(endpoints) => array(endpoints.iter().map(health)),
        Answer::Status(endpoints) => array(endpoints.iter().map(|(endpoint, r)| {
            Object::new().always_text("Endpoint", endpoint).raw("Status", &status(r)).end()
        })),
        Answer::HashKv(endpoints) => array(endpoints.iter().map(|(endpoint, r)| {
            Object::new().always_text("Endpoint", endpoint).raw("HashKV", &hash_kv(r)).end()
        })),
        Answer::Alarms(r) => Object::new()
            .some("header", r.header.as_ref().map(header))
            .list(
                "alarms",
                r.alarms.iter().map(|a| {
                    Object::new().number("memberID", a.member_id).number("alarm", a.alarm).end()
                }),
            )
            .end(),
        Answer::MoveLeader { response, .. } => {
            Object::new().some("header", response.header.as_ref().map(header)).end()
        }
        lease => lease_answer(lease),
    }
}

/// Lease answers carry the header's fields among their own, as the Go client's structures do.
fn lease_answer(answer: &Answer) -> String {
    let flat = |header: &Option<ResponseHeader>| header_fields(header.as_ref());
    match answer {
        Answer::Grant(r) => flat(&r.header)
            .always("ID", r.id)
            .always("TTL", r.ttl)
            .always_text("Error", &r.error)
            .end(),
        Answer::Revoke(_, r) => Object::new().some("header", r.header.as_ref().map(header)).end(),
        Answer::KeepAlive(r) => flat(&r.header).always("ID", r.id).always("TTL", r.ttl).end(),
        Answer::TimeToLive { response: r, .. } => {
            let keys = match r.keys.is_empty() {
                true => "null".to_owned(),
                false => array(r.keys.iter().map(|key| base64(key))),
            };
            flat(&r.header)
                .always("id", r.id)
                .always("ttl", r.ttl)
                .always("granted-ttl", r.granted_ttl)
                .raw("keys", &keys)
                .end()
        }
        Answer::Leases(r) => {
            let leases = r.leases.iter().map(|lease| Object::new().always("id", lease.id).end());
            flat(&r.header).raw("leases", &array(leases)).end()
        }
        other => unreachable!("not a lease's: {other:?}"),
    }
}

fn header_fields(header: Option<&ResponseHeader>) -> Object {
    let header = header.copied().unwrap_or_default();
    Object::new()
        .number("cluster_id", header.cluster_id)
        .number("member_id", header.member_id)
        .number("revision", header.revision)
        .number("raft_term", header.raft_term)
}

fn header(header: &ResponseHeader) -> String {
    header_fields(Some(header)).end()
}

fn hex_header(header: &ResponseHeader) -> String {
    Object::new()
        .always_text("cluster_id", &format!("{:x}", header.cluster_id))
        .always_text("member_id", &format!("{:x}", header.member_id))
        .number("revision", header.revision)
        .number("raft_term", header.raft_term)
        .end()
}

fn pair(pair: &KeyValue) -> String {
    Object::new()
        .bytes("key", &pair.key)
        .number("create_revision", pair.create_revision)
        .number("mod_revision", pair.mod_revision)
        .number("version", pair.version)
        .bytes("value", &pair.value)
        .number("lease", pair.lease)
        .end()
}

fn put(r: &PutResponse) -> String {
    Object::new()
        .some("header", r.header.as_ref().map(header))
        .some("prev_kv", r.prev_kv.as_ref().map(pair))
        .end()
}

fn get(r: &RangeResponse) -> String {
    Object::new()
        .some("header", r.header.as_ref().map(header))
        .list("kvs", r.kvs.iter().map(pair))
        .flag("more", r.more)
        .number("count", r.count)
        .end()
}

fn delete(r: &DeleteRangeResponse) -> String {
    Object::new()
        .some("header", r.header.as_ref().map(header))
        .number("deleted", r.deleted)
        .list("prev_kvs", r.prev_kvs.iter().map(pair))
        .end()
}

fn txn(r: &TxnResponse) -> String {
    let op = |response: &Response| {
        let (name, body) = match response {
            Response::ResponseRange(r) => ("response_range", get(r)),
            Response::ResponsePut(r) => ("response_put", put(r)),
            Response::ResponseDeleteRange(r) => ("response_delete_range", delete(r)),
            Response::ResponseTxn(r) => ("response_txn", txn(r)),
        };
        let inner = Object::new().raw(name, &body).end();
        Object::new().raw("Response", &inner).end()
    };
    Object::new()
        .some("header", r.header.as_ref().map(header))
        .flag("succeeded", r.succeeded)
        .list("responses", r.responses.iter().filter_map(|r| r.response.as_ref()).map(op))
        .end()
}

fn watch(answer: &WatchAnswer) -> String {
    let event = |event: &Event| {
        Object::new()
            .number("type", event.r#type)
            .some("kv", event.kv.as_ref().map(pair))
            .some("prev_kv", event.prev_kv.as_ref().map(pair))
            .end()
    };
    Object::new()
        .raw("Header", &header(&answer.header))
        .raw("Events", &array(answer.events.iter().map(event)))
        .always("CompactRevision", answer.compact_revision)
        .raw("Canceled", &answer.is_canceled.to_string())
        .raw("Created", "false")
        .end()
}

fn member(member: &Member, is_hex: bool) -> String {
    let object = match is_hex {
        true => Object::new().always_text("ID", &format!("{:x}", member.id)),
        false => Object::new().number("ID", member.id),
    };
    object
        .text("name", &member.name)
        .list("peerURLs", member.peer_ur_ls.iter().map(|url| string(url)))
        .list("clientURLs", member.client_ur_ls.iter().map(|url| string(url)))
        .flag("isLearner", member.is_learner)
        .end()
}

fn health(health: &Health) -> String {
    Object::new()
        .always_text("endpoint", &health.endpoint)
        .raw("health", &health.error.is_none().to_string())
        .always_text("took", &text::go_duration(health.took))
        .text("error", health.error.as_deref().unwrap_or_default())
        .end()
}

fn status(r: &StatusResponse) -> String {
    let downgrade = r.downgrade_info.as_ref().map(|info| {
        Object::new()
            .flag("enabled", info.enabled)
            .text("targetVersion", &info.target_version)
            .end()
    });
    Object::new()
        .some("header", r.header.as_ref().map(header))
        .text("version", &r.version)
        .number("dbSize", r.db_size)
        .number("leader", r.leader)
        .number("raftIndex", r.raft_index)
        .number("raftTerm", r.raft_term)
        .number("raftAppliedIndex", r.raft_applied_index)
        .list("errors", r.errors.iter().map(|error| string(error)))
        .number("dbSizeInUse", r.db_size_in_use)
        .flag("isLearner", r.is_learner)
        .text("storageVersion", &r.storage_version)
        .number("dbSizeQuota", r.db_size_quota)
        .some("downgradeInfo", downgrade)
        .end()
}

fn hash_kv(r: &HashKvResponse) -> String {
    Object::new()
        .some("header", r.header.as_ref().map(header))
        .number("hash", r.hash)
        .number("compact_revision", r.compact_revision)
        .number("hash_revision", r.hash_revision)
        .end()
}

/// An object under construction, its members in the order they are added. What has no `always`
/// in its name is left out when empty, as `omitempty` does.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::from("{"))
    }

    fn raw(mut self, name: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0 += &format!("\"{name}\":{value}");
        self
    }

    fn always(self, name: &str, value: i64) -> Self {
        self.raw(name, &value.to_string())
    }

    fn always_text(self, name: &str, value: &str) -> Self {
        self.raw(name, &string(value))
    }

    fn some(self, name: &str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.raw(name, &value),
            None => self,
        }
    }

    fn number<N: ToString + Default + PartialEq>(self, name: &str, value: N) -> Self {
        match value == N::default() {
            true => self,
            false => self.raw(name, &value.to_string()),
        }
    }

    fn flag(self, name: &str, value: bool) -> Self {
        if value { self.raw(name, "true") } else { self }
    }

    fn text(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.always_text(name, value) }
    }

    fn bytes(self, name: &str, value: &[u8]) -> Self {
        if value.is_empty() { self } else { self.raw(name, &base64(value)) }
    }

    fn list(self, name: &str, items: impl Iterator<Item = String>) -> Self {
        match array(items) {
            empty if empty == "[]" => self,
            items => self.raw(name, &items),
        }
    }

    fn end(self) -> String {
        self.0 + "}"
    }
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A string with what Go escapes beyond the standard, for the sake of HTML.
fn string(text: &str) -> String {
    let escaped = serde_json::Value::from(text).to_string();
    escaped.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("\"{}\"", STANDARD.encode(bytes))
}
