//! For people.

use reseed_proto::{etcdserverpb::response_op::Response, mvccpb::KeyValue};

use super::{Answer, Style, alarm_name, event_name, table, text};

/// Keys and values are printed as they are, text or not.
pub(super) fn render(answer: &Answer, style: Style) -> Vec<u8> {
    let mut page = Page { out: Vec::new(), style };
    page.answer(answer);
    page.out
}

struct Page {
    out: Vec<u8>,
    style: Style,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.raw_line(text.as_bytes());
    }

    fn raw_line(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.push(b'\n');
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Put(response) => {
                self.line("OK");
                self.pairs(&response.prev_kv);
            }
            Answer::Get(response) => self.pairs(&response.kvs),
            Answer::Delete(response) => {
                self.line(&response.deleted.to_string());
                self.pairs(&response.prev_kvs);
            }
            Answer::Txn(response) => {
                self.line(if response.succeeded { "SUCCESS" } else { "FAILURE" });
                self.ops(response);
            }
            Answer::Watch(watch) => {
                for event in &watch.events {
                    self.line(event_name(event));
                    self.pairs(&event.prev_kv);
                    self.pairs(&event.kv);
                }
            }
            Answer::Members(_) | Answer::Status(_) | Answer::HashKv(_) => {
                let table = table::of(answer).expect("these are tables");
                table.rows.iter().for_each(|row| self.line(&row.join(", ")));
            }
            other => self.rare(other),
        }
    }

    fn rare(&mut self, answer: &Answer) {
        match answer {
            Answer::Grant(r) => {
                self.line(&format!("lease {:016x} granted with TTL({}s)", r.id, r.ttl));
            }
            Answer::Revoke(id, _) => self.line(&format!("lease {id:016x} revoked")),
            Answer::KeepAlive(r) => {
                self.line(&format!("lease {:016x} keepalived with TTL({})", r.id, r.ttl));
            }
            Answer::TimeToLive { response: r, .. } if r.granted_ttl == 0 && r.ttl == -1 => {
                self.line(&format!("lease {:016x} already expired", r.id));
            }
            Answer::TimeToLive { response: r, with_keys } => {
                let (id, granted, left) = (r.id, r.granted_ttl, r.ttl);
                let mut line =
                    format!("lease {id:016x} granted with TTL({granted}s), remaining({left}s)");
                if *with_keys {
                    let keys: Vec<_> = r.keys.iter().map(|k| String::from_utf8_lossy(k)).collect();
                    line += &format!(", attached keys([{}])", keys.join(" "));
                }
                self.line(&line);
            }
            Answer::Leases(r) => {
                self.line(&format!("found {} leases", r.leases.len()));
                r.leases.iter().for_each(|lease| self.line(&format!("{:016x}", lease.id)));
            }
            Answer::Changed(change) => {
                let cluster = change.header.map_or(0, |header| header.cluster_id);
                let (id, what) = (change.id, change.what);
                self.line(&format!("Member {id:16x} {what} cluster {cluster:16x}"));
            }
            Answer::Health(endpoints) => {
                // The unhealthy ones go to standard error, see `endpoint.rs`.
                for health in endpoints.iter().filter(|health| health.error.is_none()) {
                    self.line(&format!(
                        "{} is healthy: successfully committed proposal: took = {}",
                        health.endpoint,
                        text::go_duration(health.took)
                    ));
                }
            }
            Answer::Alarms(r) => {
                for alarm in &r.alarms {
                    let (member, name) = (alarm.member_id, alarm_name(alarm.alarm));
                    self.line(&format!("memberID:{member} alarm:{name} "));
                }
            }
            Answer::MoveLeader { from, to, .. } => {
                self.line(&format!("Leadership transferred from {from:x} to {to:x}"));
            }
            common => unreachable!("printed above: {common:?}"),
        }
    }

    fn ops(&mut self, txn: &reseed_proto::etcdserverpb::TxnResponse) {
        for response in txn.responses.iter().filter_map(|op| op.response.clone()) {
            self.line("");
            self.answer(&match response {
                Response::ResponseRange(response) => Answer::Get(response),
                Response::ResponsePut(response) => Answer::Put(response),
                Response::ResponseDeleteRange(response) => Answer::Delete(response),
                Response::ResponseTxn(response) => Answer::Txn(response),
            });
        }
    }

    fn pairs<'a>(&mut self, pairs: impl IntoIterator<Item = &'a KeyValue>) {
        for pair in pairs {
            if !self.style.is_value_only {
                self.bytes(&pair.key);
            }
            self.bytes(&pair.value);
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.style.is_hex {
            true => self.line(&text::hex(bytes)),
            false => self.raw_line(bytes),
        }
    }
}
