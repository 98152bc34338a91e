//! After a start: the index and the leases' keys, read back from the records.
//!
//! One walk over `Table::Key` in order of revision collects every change; sorting by key brings
//! each key's changes together, and the index is built from the sorted run in one go, which is
//! several times cheaper than a million insertions and leaves full nodes. Nothing is written:
//! physical compaction that was interrupted goes on where the next
//! [`scrub_step`](Store::scrub_step) finds work.

use alloc::boxed::Box;
use alloc::vec::Vec;

use reseed_planted::{self as planted, Bug};

use super::compact::Progress;
use super::index::{Entry, Index};
use super::key_index::{KeyIndex, Live};
use super::record::Peek;
use super::revision::{self, Change};
use super::{FIRST_REVISION, Store, broken};
use crate::error::Error;
use crate::id::LeaseId;
use crate::lease;
use crate::port::{Read, Table};

/// One record, as far as memory keeps it.
struct Found {
    /// Eight bytes of the key that tell keys apart; see [`rank`].
    rank: u64,
    key: Box<[u8]>,
    change: Change,
    created: i64,
    version: i64,
    lease: LeaseId,
}

impl Store {
    /// Rebuilds the store and attaches every live key to its lease.
    ///
    /// # Errors
    /// The backend cannot be read or contradicts itself.
    pub(crate) fn restore(read: &dyn Read, leases: &mut lease::Table) -> Result<Self, Error> {
        let compaction = Progress::restore(read)?;
        let mut found = collect(read)?;
        let last = found.last().map_or(FIRST_REVISION, |last| last.change.at.main);
        rank(&mut found);
        found.sort_unstable_by(|a, b| {
            let by_key = a.rank.cmp(&b.rank).then_with(|| a.key.cmp(&b.key));
            by_key.then(a.change.at.cmp(&b.change.at))
        });
        let last = match found.last() {
            Some(of_last_key) if planted::on(Bug::RestoredRevisionOfLastKey) => {
                of_last_key.change.at.main
            }
            _ => last,
        };
        let index = Index::from_sorted(group(found, leases)?);
        // The compact revision counts: the records it was made of may be gone (etcd issue 17780).
        let revision = last.max(compaction.scheduled);
        Ok(Self { index, revision, compaction })
    }
}

fn collect(read: &dyn Read) -> Result<Vec<Found>, Error> {
    let mut all = Vec::new();
    let mut damage = None;
    read.scan(Table::Key, &[], None, &mut |key, value| {
        match found(key, value) {
            Some(found) => all.push(found),
            None => damage = Some(broken(format_args!("record at {key:02x?} is no pair"))),
        }
        damage.is_none()
    })?;
    damage.map_or(Ok(all), Err)
}

/// Ranks records by the eight bytes that follow what all keys begin with: comparing those decides
/// most comparisons of the sort without a visit to the keys, which lie scattered.
fn rank(all: &mut [Found]) {
    let Some((first, rest)) = all.split_first() else { return };
    let common = rest.iter().fold(first.key.len(), |common, found| {
        let mut pairs = first.key[..common].iter().zip(&found.key);
        pairs.position(|(a, b)| a != b).unwrap_or(common.min(found.key.len()))
    });
    for found in all {
        let mut bytes = [0; 8];
        let tail = &found.key[common..];
        let len = tail.len().min(bytes.len());
        bytes[..len].copy_from_slice(&tail[..len]);
        found.rank = u64::from_be_bytes(bytes);
    }
}

fn found(key: &[u8], value: &[u8]) -> Option<Found> {
    let change = revision::decode(key)?;
    let peek = Peek::of(value)?;
    let is_put_whole =
        0 < peek.create_revision && peek.create_revision <= change.at.main && 0 < peek.version;
    let is_whole = !peek.key.is_empty() && (change.is_tombstone || is_put_whole);
    is_whole.then(|| Found {
        rank: 0,
        key: peek.key.into(),
        change,
        created: peek.create_revision,
        version: peek.version,
        lease: LeaseId(peek.lease),
    })
}

/// Brings each key's changes together; `all` is in order of key, then revision.
fn group(all: Vec<Found>, leases: &mut lease::Table) -> Result<Vec<Entry>, Error> {
    let mut keys: Vec<Entry> = Vec::new();
    let mut changes: Vec<Change> = Vec::new();
    let mut all = all.into_iter().peekable();
    while let Some(found) = all.next() {
        changes.push(found.change);
        if all.peek().is_some_and(|next| next.key == found.key) {
            continue;
        }
        let live = (!found.change.is_tombstone).then_some(Live {
            at: found.change.at,
            created: found.created,
            version: found.version,
        });
        let is_first = changes.len() == 1 || !planted::on(Bug::UpdatedKeysLoseLease);
        if live.is_some() && !found.lease.is_none() && is_first {
            if leases.get(found.lease).is_none() {
                let (key, lease) = (&found.key, found.lease);
                return Err(broken(format_args!("{key:02x?} hangs on unknown lease {lease}")));
            }
            leases.attach(&found.key, found.lease);
        }
        keys.extend(KeyIndex::restore(&changes, live).map(|index| (found.key, index)));
        changes.clear();
    }
    Ok(keys)
}
