//! Hashing of blobs.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use regc_core::registry::layout;
use regc_core::storage::ReadStorage;
use regc_core::storage::filesystem::FilesystemStorage;
use regc_core::storage::memory::MemoryStorage;
use regc_core::verify::content::{Bandwidth, Blob, Checkpoint, Clock, HashOptions, Hashed, Sample, hash_all};
use regc_core::{Algorithm, Digest, Error, Finding, Monitor, Phase, Silent};
use regc_testkit::wrapped::{Faulty, Operation, Recording};

/// A clock that advances only during sleep, and by `per_look` with each call of `now`.
#[derive(Default)]
struct FakeClock {
    now: Mutex<Duration>,
    per_look: Duration,
}

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        let mut now = self.now.lock().unwrap();
        *now += self.per_look;
        *now
    }

    fn sleep(&self, duration: Duration) {
        *self.now.lock().unwrap() += duration;
    }
}

/// Stops the run after this many bytes, and counts them.
struct StopAfter {
    bytes: u64,
    seen: AtomicU64,
    expected: AtomicU64,
}

impl StopAfter {
    fn new(bytes: u64) -> Self {
        Self { bytes, seen: AtomicU64::new(0), expected: AtomicU64::new(0) }
    }
}

impl Monitor for StopAfter {
    fn phase(&self, phase: Phase, steps: Option<u64>) {
        assert_eq!(phase, Phase::HashContent);
        self.expected.store(steps.unwrap(), Relaxed);
    }

    fn advance(&self, steps: u64) {
        self.seen.fetch_add(steps, Relaxed);
    }

    fn finding(&self, _: &Finding) {}

    fn is_stopped(&self) -> bool {
        self.seen.load(Relaxed) >= self.bytes
    }
}

/// Hashes everything, with two threads.
fn all() -> HashOptions {
    HashOptions::new("").jobs(2)
}

/// Returns content of this length, different for every number.
fn content(number: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![number as u8; bytes];
    content.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, of_number)| *byte = of_number);
    content
}

/// Creates a store of these contents, with digests of all algorithms in turn.
fn store(contents: impl IntoIterator<Item = Vec<u8>>) -> (BTreeMap<String, Vec<u8>>, Vec<Blob>) {
    let mut blobs = Vec::new();
    let mut objects = BTreeMap::new();
    for (number, content) in contents.into_iter().enumerate() {
        let digest = Digest::of(Algorithm::ALL[number % 3], &content);
        blobs.push(Blob { digest, bytes: content.len() as u64 });
        objects.insert(layout::blob_data(&digest), content);
    }
    (objects, blobs)
}

/// The length of a blob that is read in several parts.
const LARGE_BYTES: usize = 140_000;

/// Creates 1500 small blobs, then 12 large ones.
fn mixed() -> (BTreeMap<String, Vec<u8>>, Vec<Blob>) {
    let small = (0..1500).map(|number| content(number, 8 + number as usize % 50));
    store(small.chain((1500..1512).map(|number| content(number, LARGE_BYTES))))
}

fn memory(objects: BTreeMap<String, Vec<u8>>) -> MemoryStorage {
    objects.into_iter().collect()
}

fn on_disk(root: &Path, objects: &BTreeMap<String, Vec<u8>>) -> FilesystemStorage {
    for (key, content) in objects {
        fs::create_dir_all(root.join(key).parent().unwrap()).unwrap();
        fs::write(root.join(key), content).unwrap();
    }
    FilesystemStorage::open(root).unwrap()
}

fn run(
    storage: &dyn ReadStorage,
    blobs: &[Blob],
    options: &HashOptions,
    monitor: &dyn Monitor,
) -> (Hashed, Checkpoint) {
    let last = Mutex::new(None);
    let save = |checkpoint: &Checkpoint| *last.lock().unwrap() = Some(checkpoint.clone());
    let hashed = hash_all(storage, blobs, options, &FakeClock::default(), &save, monitor).unwrap();
    // As after a checkpoint is written and read again.
    let text = serde_json::to_string(&last.into_inner().unwrap().unwrap()).unwrap();
    (hashed, serde_json::from_str(&text).unwrap())
}

#[test]
fn damage_is_found_with_every_algorithm_and_length() {
    for bytes in [0, 1, 63, 64, 65_535, 65_536, 65_537, 131_072, 131_073] {
        let lengths = [content(1, bytes), content(2, bytes + 1), content(3, bytes + 2)];
        let (whole, blobs) = store(lengths);
        let directory = tempfile::tempdir().unwrap();
        for damaged in [None, Some(0), Some(1), Some(2)] {
            let mut objects = whole.clone();
            let damaged = damaged.map(|number: usize| blobs[number].digest);
            if let Some(digest) = damaged {
                let content = objects.get_mut(&layout::blob_data(&digest)).unwrap();
                match content.last_mut() {
                    Some(last) => *last ^= 1,
                    None => content.push(0),
                }
            }
            let on_disk = on_disk(directory.path(), &objects);
            for storage in [&on_disk as &dyn ReadStorage, &memory(objects.clone())] {
                let (hashed, checkpoint) = run(storage, &blobs, &all(), &Silent);
                assert_eq!(hashed.mismatched, damaged.into_iter().collect::<Vec<_>>(), "{bytes} bytes");
                assert_eq!((hashed.checked_blobs, hashed.interrupted), (3, false));
                assert!(hashed.unreadable.is_empty() && hashed.missing.is_empty() && checkpoint.is_complete());
            }
        }
    }
}

#[test]
fn hashing_reports_unreadable_and_missing_blobs_and_goes_on() {
    let (mut objects, blobs) = mixed();
    let (missing, broken, damaged) = (blobs[3].digest, blobs[1505].digest, blobs[1510].digest);
    objects.remove(&layout::blob_data(&missing));
    objects.get_mut(&layout::blob_data(&damaged)).unwrap().push(0);
    let key = layout::blob_data(&broken);
    let storage = Faulty::reading(memory(objects), move |asked| asked == key);
    let monitor = StopAfter::new(u64::MAX);
    let (hashed, checkpoint) = run(&storage, &blobs, &all(), &monitor);
    assert_eq!(hashed.checked_blobs, 1510);
    assert_eq!((&hashed.mismatched[..], &hashed.missing[..]), (&[damaged][..], &[missing][..]));
    let [(digest, Error::Storage { source, .. })] = &hashed.unreadable[..] else { panic!("{:?}", hashed.unreadable) };
    assert_eq!((*digest, source.kind()), (broken, std::io::ErrorKind::PermissionDenied));
    assert!(!hashed.interrupted && checkpoint.is_complete());
    let bytes: u64 = blobs.iter().map(|blob| blob.bytes).sum();
    assert_eq!((monitor.expected.into_inner(), monitor.seen.into_inner()), (bytes, bytes), "the line comes to its end");
}

#[test]
fn runs_that_are_stopped_hash_everything_once() {
    let large = LARGE_BYTES as u64;
    for jobs in [1, 3] {
        let (mut objects, blobs) = mixed();
        for damaged in [5, 700, 1502] {
            objects.get_mut(&layout::blob_data(&blobs[damaged].digest)).unwrap()[0] ^= 1;
        }
        let storage = Recording::new(memory(objects));
        let mut options = all().jobs(jobs);
        let (mut runs, mut begun_twice, mut checked_bytes) = (1, 0, 0);
        let last = loop {
            let is_among_large = checked_bytes < 12 * large;
            let monitor = StopAfter::new(if is_among_large { 3 * large + 10_000 } else { 5000 });
            let (hashed, checkpoint) = run(&storage, &blobs, &options, &monitor);
            assert_eq!(hashed.checked_blobs, checkpoint.checked_blobs());
            if !hashed.interrupted {
                break hashed;
            }
            begun_twice += jobs;
            runs += 1;
            assert!(runs < 40);
            checked_bytes = checkpoint.checked_bytes();
            options = options.resume(Some(checkpoint));
        };
        assert!(runs >= if jobs == 1 { 10 } else { 5 }, "{runs}");
        assert_eq!((last.checked_blobs, last.mismatched.len()), (1512, 3));
        assert_eq!(last.checked_bytes, blobs.iter().map(|blob| blob.bytes).sum::<u64>());
        let reads = storage.operations().len();
        assert!((1512..=1512 + begun_twice).contains(&reads), "only what was just being read is read again: {reads}");
    }
}

#[test]
fn every_checkpoint_can_be_resumed() {
    let (objects, blobs) = mixed();
    let storage = memory(objects.clone());
    let checkpoints = Mutex::new(Vec::new());
    let clock = FakeClock { per_look: Duration::from_millis(100), ..FakeClock::default() };
    let save = |checkpoint: &Checkpoint| checkpoints.lock().unwrap().push(checkpoint.clone());
    hash_all(&storage, &blobs, &all(), &clock, &save, &Silent).unwrap();
    let checkpoints = checkpoints.into_inner().unwrap();
    let (last, during) = checkpoints.split_last().unwrap();
    assert!(during.len() >= 10, "{}", during.len());
    assert!(last.is_complete() && during.iter().all(|checkpoint| !checkpoint.is_complete()));
    assert!(during.is_sorted_by_key(Checkpoint::checked_blobs), "none is followed by an older one");
    for checkpoint in during {
        let storage = Recording::new(memory(objects.clone()));
        let options = all().resume(Some(checkpoint.clone()));
        let (hashed, _) = run(&storage, &blobs, &options, &Silent);
        assert_eq!(hashed.checked_blobs, 1512);
        assert_eq!(storage.operations().len() as u64, 1512 - checkpoint.checked_blobs());
    }
}

#[test]
fn resumed_run_retries_unreadable_blobs_only() {
    let (objects, mut blobs) = mixed();
    let (broken, late) = (blobs[1505].digest, content(9999, 20));
    let key = layout::blob_data(&broken);
    let storage = Faulty::reading(memory(objects.clone()), move |asked| asked == key);
    let (hashed, checkpoint) = run(&storage, &blobs, &all().jobs(1), &StopAfter::new(12 * LARGE_BYTES as u64 + 45_000));
    assert!(hashed.interrupted && hashed.unreadable.len() == 1);

    // A blob that arrives in the part already hashed waits for the next full run.
    let early =
        (0..).map(|n: u64| n.to_le_bytes()).find(|n| Digest::of(Algorithm::Sha256, n).as_bytes()[..2] == [0; 2]);
    let arrived = [early.unwrap().to_vec(), late];
    let arrived = [(Algorithm::Sha256, &arrived[0]), (Algorithm::Sha512, &arrived[1])];
    let arrived = arrived.map(|(algorithm, content)| (Digest::of(algorithm, content), content.clone()));
    blobs.extend(arrived.iter().map(|(digest, content)| Blob { digest: *digest, bytes: content.len() as u64 }));
    let arrived_objects = arrived.iter().map(|(digest, content)| (layout::blob_data(digest), content.clone()));
    let whole = Recording::new(memory(objects.into_iter().chain(arrived_objects).collect()));
    let options = all().resume(Some(checkpoint));
    let (hashed, _) = run(&whole, &blobs, &options, &Silent);
    assert!(hashed.unreadable.is_empty() && !hashed.interrupted);
    assert_eq!(hashed.checked_blobs, 1513);
    let was_read = |digest: &Digest| whole.operations().contains(&Operation::Read(layout::blob_data(digest)));
    assert!(was_read(&broken) && was_read(&arrived[1].0) && !was_read(&arrived[0].0));
}

#[test]
fn checkpoint_of_other_blobs_is_refused_and_a_complete_one_starts_over() {
    let (objects, blobs) = mixed();
    let storage = memory(objects);
    let sample = |text, day| Some(Sample::parse(text, day).unwrap());
    let options = |store: &str, sample| HashOptions::new(store).jobs(2).sample(sample);
    let begun = options("/srv/registry", sample("50%", 7));
    let (hashed, checkpoint) = run(&storage, &blobs, &begun, &StopAfter::new(1));
    assert!(hashed.interrupted && checkpoint.sample() == sample("50%", 7));
    for (other, told) in [
        (options("/srv/registry", None), "not over all blobs in /srv/registry"),
        (options("/srv/registry", sample("50%", 8)), "not over 50 % of the blobs on day 8 in /srv/registry"),
        (options("/srv/registry", sample("25%", 7)), "not over 25 % of the blobs on day 7"),
        (options("/srv/other", sample("50%", 7)), "blobs on day 7 in /srv/other"),
    ] {
        let other = other.resume(Some(checkpoint.clone()));
        let error = hash_all(&storage, &blobs, &other, &FakeClock::default(), &|_| (), &Silent).unwrap_err();
        let Error::OtherCheckpoint { .. } = error else { panic!("{error}") };
        assert!(error.to_string().contains("over 50 % of the blobs on day 7 in /srv/registry, not over"), "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
    let mut text = serde_json::to_value(&checkpoint).unwrap();
    text["schema_version"] = 2.into();
    let newer = begun.clone().resume(Some(serde_json::from_value(text).unwrap()));
    assert!(hash_all(&storage, &blobs, &newer, &FakeClock::default(), &|_| (), &Silent).is_err());

    let (hashed, checkpoint) = run(&storage, &blobs, &begun, &Silent);
    let selected = blobs.iter().filter(|blob| sample("50%", 7).unwrap().selects(&blob.digest)).count() as u64;
    assert_eq!(hashed.checked_blobs, selected);
    assert!(checkpoint.is_complete() && (600..900).contains(&selected));
    for other in [begun, options("/srv/registry", sample("50%", 8))] {
        let monitor = StopAfter::new(u64::MAX);
        let other = other.resume(Some(checkpoint.clone()));
        run(&storage, &blobs, &other, &monitor);
        assert!(monitor.seen.into_inner() > 100_000, "otherwise nothing would be checked any more");
    }
}

#[test]
fn the_bandwidth_is_kept_by_all_threads_together() {
    let (objects, blobs) = mixed();
    let bytes: u64 = blobs.iter().map(|blob| blob.bytes).sum();
    let storage = memory(objects);
    let options = all().bandwidth(Some(Bandwidth { bytes_per_second: NonZeroU64::new(100_000).unwrap() })).jobs(1);
    let clock = FakeClock::default();
    hash_all(&storage, &blobs, &options, &clock, &|_| (), &Silent).unwrap();
    let (took, least) = (clock.now().as_secs_f64(), bytes as f64 / 100_000.0);
    assert!((least - 0.11..least + 0.01).contains(&took), "{took} s instead of {least} s");

    // The fake clock adds up the sleep of all threads.
    let clock = FakeClock::default();
    hash_all(&storage, &blobs, &options.jobs(3), &clock, &|_| (), &Silent).unwrap();
    assert!(clock.now().as_secs_f64() >= least - 0.11);
}

#[test]
fn a_stop_is_heeded_within_a_huge_blob_and_while_waiting() {
    let (objects, blobs) = store([content(0, 1_000_000)]);
    let directory = tempfile::tempdir().unwrap();
    let (on_disk, storage) = (on_disk(directory.path(), &objects), memory(objects));
    for storage in [&on_disk as &dyn ReadStorage, &storage] {
        let monitor = StopAfter::new(100_000);
        let (hashed, checkpoint) = run(storage, &blobs, &all(), &monitor);
        assert!(hashed.interrupted && !checkpoint.is_complete());
        assert!(monitor.seen.into_inner() <= 200_000, "the parts are no longer than that");
        assert_eq!((hashed.checked_blobs, hashed.mismatched.len()), (0, 0), "half of a blob says nothing");
    }

    struct StopLater(AtomicU64);
    impl Monitor for StopLater {
        fn phase(&self, _: Phase, _: Option<u64>) {}
        fn advance(&self, _: u64) {}
        fn finding(&self, _: &Finding) {}
        fn is_stopped(&self) -> bool {
            self.0.fetch_add(1, Relaxed) > 10
        }
    }
    let bandwidth = Some(Bandwidth { bytes_per_second: NonZeroU64::MIN });
    let clock = FakeClock::default();
    let options = all().bandwidth(bandwidth).jobs(1);
    let hashed = hash_all(&storage, &blobs, &options, &clock, &|_| (), &StopLater(AtomicU64::new(0))).unwrap();
    assert!(hashed.interrupted && clock.now() < Duration::from_secs(2), "{:?}", clock.now());
}
