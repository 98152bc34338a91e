//! Prints what the storage layer costs on this machine: `cargo run --release -p reseed-storage
//! --features testing --example backend_figures [records]`. Figures, not assertions. Times are CPU
//! time of the thread (waiting for the disk is not in them), so a busy machine does little harm.
#![expect(clippy::disallowed_methods, reason = "the kernel's own figures have no seam")]

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use reseed_core::port::{Batch, Read, Table};
use reseed_rt::disk::{Disk, disk};
use reseed_storage::{
    backend::{AppliedAt, Backend, BackendOptions},
    testing::Rng,
    wal::{HardState, Mark, Metadata, Wal, WalEntry, WalOptions},
};

/// A value of 256 bytes, its key of 32, and what an encoded KeyValue adds; a multiple of 8.
const VALUE_BYTES: usize = 256 + 32 + 24;

fn main() {
    let argument = std::env::args().nth(1);
    let records: u64 = argument.map_or(1_000_000, |n| n.parse().expect("a number of records"));
    let dir = tempfile::tempdir().expect("a directory for the figures");
    let disk = disk();
    backend_figures(&disk, &dir.path().join("db"), records);
    wal_figures(&disk, &dir.path().join("wal"));
    println!("resident memory: {} MiB", resident_mib());
}

/// Measures the CPU time of this thread.
struct Watch(u64);

impl Watch {
    fn start() -> Self {
        Self(cpu_nanos())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(cpu_nanos() - self.0)
    }
}

fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn key(revision: u64) -> Bytes {
    let mut key = revision.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend_from_slice(&0u64.to_be_bytes());
    key.into()
}

fn each(took: Duration, count: u64) -> String {
    format!("{:>8} ns each, {:>6} ms", took.as_nanos() as u64 / count.max(1), took.as_millis())
}

fn backend_figures(disk: &Arc<dyn Disk>, path: &Path, records: u64) {
    let options = BackendOptions::default();
    let open = || Backend::open(Arc::clone(disk), path, options).expect("open");
    let backend = open();
    let mut rng = Rng::new(1);
    let (mut commits, mut flushes) = (Duration::ZERO, Duration::ZERO);
    let mut revision = 0;
    while revision < records {
        let block: Vec<_> = (revision + 1..=records.min(revision + 1000))
            .map(|revision| {
                let numbers = std::iter::repeat_with(|| rng.next().to_le_bytes());
                let value: Vec<u8> = numbers.take(VALUE_BYTES / 8).flatten().collect();
                let mut batch = Batch::default();
                batch.put(Table::Key, key(revision), value);
                (batch, AppliedAt { index: revision, term: 1 })
            })
            .collect();
        revision += block.len() as u64;
        let start = Watch::start();
        for (batch, at) in block {
            backend.commit(batch, at).expect("commit");
        }
        commits += start.elapsed();
        if backend.needs_flush() {
            let start = Watch::start();
            backend.flush_blocking().expect("flush");
            flushes += start.elapsed();
        }
    }
    println!("commit of one put        {}", each(commits, records));
    reads("from memory", &backend, records.saturating_sub(10_000), records);
    let start = Watch::start();
    backend.flush_blocking().expect("flush");
    println!("flush, per record        {}", each(flushes + start.elapsed(), records));
    println!("size                     {:?}, resident {} MiB", backend.size(), resident_mib());
    reads("from the engine", &backend, 1, records);
    drop(backend);
    let start = Watch::start();
    let backend = open();
    println!("open                     {}", each(start.elapsed(), 1));
    let start = Watch::start();
    let mut bytes = 0;
    let scanned = backend.scan(Table::Key, &[], None, &mut |_, value| {
        bytes += value.len();
        true
    });
    scanned.expect("scan");
    println!("scan of everything       {} ({bytes} bytes)", each(start.elapsed(), records));
    let start = Watch::start();
    let mut batch = Batch::default();
    let gone = records / 10 * 9;
    (1..=gone).for_each(|n| batch.delete(Table::Key, key(n * 10 / 9)));
    backend.commit(batch, backend.applied()).expect("commit");
    backend.flush_blocking().expect("flush");
    println!("delete of 9 in 10        {} {:?}", each(start.elapsed(), gone), backend.size());
    let start = Watch::start();
    let size = backend.defragment_blocking().expect("defragment");
    println!("defragment               {} {size:?}", each(start.elapsed(), 1));
}

fn reads(what: &str, backend: &Backend, from: u64, to: u64) {
    let mut rng = Rng::new(2);
    let mut draw = || from + rng.below(to - from + 1);
    let count = 200_000.min(to);
    let keys: Vec<_> = (0..count).map(|_| key(draw())).collect();
    let start = Watch::start();
    for key in &keys {
        assert!(backend.get(Table::Key, key).expect("get").is_some(), "{key:?} is there");
    }
    println!("get, {what:<19} {}", each(start.elapsed(), count));
    for (shape, dense) in [("dense", true), ("scattered", false)] {
        let mut took = Duration::ZERO;
        for _ in 0..100 {
            let first = from + draw() % (to - from - 1000);
            let next = |n| if dense { key(first + n) } else { key(draw()) };
            let keys: Vec<_> = (0..1000).map(next).collect();
            let start = Watch::start();
            let found = backend.get_many(Table::Key, &keys).expect("get_many");
            took += start.elapsed();
            assert!(found.iter().all(Option::is_some), "all are there");
        }
        println!("get_many(1000), {shape:<9}{}", each(took, 100));
    }
    let keys: Vec<_> = (0..1000).map(|_| key(draw())).collect();
    let get = || backend.get_many(Table::Key, &keys).expect("get_many");
    get();
    let watch = Watch::start();
    (0..100).for_each(|_| drop(get()));
    println!("get_many(1000), the same {}", each(watch.elapsed(), 100));
}

fn wal_figures(disk: &Arc<dyn Disk>, dir: &Path) {
    let options = WalOptions::default();
    let wal = Wal::create(Arc::clone(disk), dir, Metadata::default(), &Mark::default(), options);
    let mut wal = wal.expect("create");
    let data = Bytes::from(vec![7; 330]);
    let (mut appends, mut syncs) = (Duration::ZERO, Duration::ZERO);
    let (batches, size) = (2_000, 64);
    for batch in 0..batches {
        let index = batch * size + 1;
        let entries: Vec<_> = (index..index + size)
            .map(|index| WalEntry { index, term: 1, data: data.clone(), ..WalEntry::default() })
            .collect();
        let start = Watch::start();
        let state = HardState { term: 1, vote: 1, commit: index };
        wal.append(&entries, Some(state)).expect("append");
        appends += start.elapsed();
        let start = Watch::start();
        wal.sync().expect("sync");
        syncs += start.elapsed();
    }
    println!("wal append, per entry    {}", each(appends, batches * size));
    println!("wal sync                 {}", each(syncs, batches));
    drop(wal);
    let start = Watch::start();
    let (_, found) = Wal::open(Arc::clone(disk), dir, options).expect("open");
    println!("wal open, per entry      {}", each(start.elapsed(), found.entries.len() as u64));
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
