//! One `"Name" : value` a line.

use reseed_proto::{
    etcdserverpb::{ResponseHeader, response_op::Response},
    mvccpb::KeyValue,
};

use super::{Answer, alarm_name, event_name, text};

pub(super) fn render(answer: &Answer) -> String {
    let mut page = Page(String::new());
    page.answer(answer);
    page.0
}

struct Page(String);

impl Page {
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0 += &format!("\"{name}\" : {value}\n");
    }

    fn quoted(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.field(name, text::quote(value.as_ref()));
    }

    fn gap(&mut self) {
        self.0.push('\n');
    }

    fn header(&mut self, header: Option<&ResponseHeader>) {
        let header = header.copied().unwrap_or_default();
        self.field("ClusterID", header.cluster_id);
        self.field("MemberID", header.member_id);
        self.field("Revision", header.revision);
        self.field("RaftTerm", header.raft_term);
    }

    fn pair(&mut self, prefix: &str, pair: &KeyValue) {
        self.quoted(&format!("{prefix}Key"), &pair.key);
        self.field(&format!("{prefix}CreateRevision"), pair.create_revision);
        self.field(&format!("{prefix}ModRevision"), pair.mod_revision);
        self.field(&format!("{prefix}Version"), pair.version);
        self.quoted(&format!("{prefix}Value"), &pair.value);
        self.field(&format!("{prefix}Lease"), pair.lease);
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Put(response) => {
                self.header(response.header.as_ref());
                response.prev_kv.iter().for_each(|pair| self.pair("Prev", pair));
            }
            Answer::Get(response) => {
                self.header(response.header.as_ref());
                response.kvs.iter().for_each(|pair| self.pair("", pair));
                self.field("More", response.more);
                self.field("Count", response.count);
            }
            Answer::Delete(response) => {
                self.header(response.header.as_ref());
                self.field("Deleted", response.deleted);
                response.prev_kvs.iter().for_each(|pair| self.pair("Prev", pair));
            }
            Answer::Txn(response) => {
                self.header(response.header.as_ref());
                self.field("Succeeded", response.succeeded);
                for op in response.responses.iter().filter_map(|op| op.response.clone()) {
                    self.answer(&match op {
                        Response::ResponseRange(response) => Answer::Get(response),
                        Response::ResponsePut(response) => Answer::Put(response),
                        Response::ResponseDeleteRange(response) => Answer::Delete(response),
                        Response::ResponseTxn(response) => Answer::Txn(response),
                    });
                }
            }
            Answer::Watch(watch) => {
                self.header(Some(&watch.header));
                for event in &watch.events {
                    self.field("Type", event_name(event));
                    event.prev_kv.iter().for_each(|pair| self.pair("Prev", pair));
                    event.kv.iter().for_each(|pair| self.pair("", pair));
                }
            }
            other => self.rare(other),
        }
    }

    fn rare(&mut self, answer: &Answer) {
        match answer {
            Answer::Grant(r) => {
                self.header(r.header.as_ref());
                self.field("ID", r.id);
                self.field("TTL", r.ttl);
            }
            Answer::Revoke(_, r) => self.header(r.header.as_ref()),
            Answer::KeepAlive(r) => {
                self.header(r.header.as_ref());
                self.field("ID", r.id);
                self.field("TTL", r.ttl);
            }
            Answer::TimeToLive { response: r, .. } => {
                self.header(r.header.as_ref());
                self.field("ID", r.id);
                self.field("TTL", r.ttl);
                self.field("GrantedTTL", r.granted_ttl);
                r.keys.iter().for_each(|key| self.quoted("Key", key));
            }
            Answer::Leases(r) => {
                self.header(r.header.as_ref());
                r.leases.iter().for_each(|lease| self.field("ID", lease.id));
            }
            Answer::Alarms(r) => {
                self.header(r.header.as_ref());
                for alarm in &r.alarms {
                    self.field("MemberID", alarm.member_id);
                    self.field("AlarmType", alarm_name(alarm.alarm));
                    self.gap();
                }
            }
            Answer::MoveLeader { response, .. } => self.header(response.header.as_ref()),
            of_members => self.of_members(of_members),
        }
    }

    fn of_members(&mut self, answer: &Answer) {
        match answer {
            Answer::Members(r) => {
                self.header(r.header.as_ref());
                for member in &r.members {
                    self.field("ID", member.id);
                    self.quoted("Name", &member.name);
                    member.peer_ur_ls.iter().for_each(|url| self.quoted("PeerURL", url));
                    member.client_ur_ls.iter().for_each(|url| self.quoted("ClientURL", url));
                    self.field("IsLearner", member.is_learner);
                    self.gap();
                }
            }
            Answer::Health(endpoints) => {
                for health in endpoints {
                    self.quoted("Endpoint", &health.endpoint);
                    self.field("Health", health.error.is_none());
                    self.field("Took", text::go_duration(health.took));
                    self.field("Error", health.error.as_deref().unwrap_or_default());
                    self.gap();
                }
            }
            Answer::HashKv(endpoints) => {
                for (endpoint, r) in endpoints {
                    self.header(r.header.as_ref());
                    self.quoted("Endpoint", endpoint);
                    self.field("Hash", r.hash);
                    self.field("HashRevision", r.hash_revision);
                    self.gap();
                }
            }
            Answer::Status(endpoints) => {
                endpoints.iter().for_each(|(endpoint, status)| self.status(endpoint, status));
            }
            printed => unreachable!("printed above: {printed:?}"),
        }
    }

    fn status(&mut self, endpoint: &str, status: &reseed_proto::etcdserverpb::StatusResponse) {
        let downgrade = status.downgrade_info.clone().unwrap_or_default();
        self.header(status.header.as_ref());
        self.quoted("Version", &status.version);
        self.quoted("StorageVersion", &status.storage_version);
        self.field("DBSize", status.db_size);
        self.field("DBSizeInUse", status.db_size_in_use);
        self.field("DBSizeQuota", status.db_size_quota);
        self.field("Leader", status.leader);
        self.field("IsLearner", status.is_learner);
        self.field("RaftIndex", status.raft_index);
        self.field("RaftTerm", status.raft_term);
        self.field("RaftAppliedIndex", status.raft_applied_index);
        self.field("Errors", format!("[{}]", status.errors.join(" ")));
        self.quoted("Endpoint", endpoint);
        self.quoted("DowngradeTargetVersion", &downgrade.target_version);
        self.field("DowngradeEnabled", downgrade.enabled);
        self.gap();
    }
}
