//! Removing: what `clean` does, and eviction.
#![expect(clippy::disallowed_methods, reason = "tests make their own world")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Fixture, made, trace, tree};
use crate::cache::{Cache, Extent, Lookup, MAX_SIZE, Made, Miss, Outputs, Reason, Restoration};

#[test]
fn cleaning_removes_what_steps_made_and_nothing_else() {
    let fixture = Fixture::new(&["out", "report.xml", "changed"]);
    fixture.write("out/deep/a", "a");
    fixture.write("report.xml", "xml");
    fixture.write("changed", "1");
    fixture.save(1);
    fixture.write("changed", "2");
    fixture.write("out/mine", "mine");
    fixture.write("src/main.rs", "main");
    let before = tree(&fixture.root());
    let cleaning = fixture.cache.project_cleaning(|_| false);
    let listed: Vec<_> = cleaning
        .items
        .iter()
        .map(|item| {
            (item.path.strip_prefix(fixture.root()).unwrap().to_str().unwrap(), item.extent, item.bytes)
        })
        .collect();
    assert_eq!(
        listed,
        [
            ("report.xml", Extent::File, 3),
            ("out/deep/a", Extent::File, 1),
            ("out/deep", Extent::Empty, 0),
            ("out", Extent::Empty, 0),
        ]
    );
    assert_eq!(cleaning.kept, [super::path("changed")]);
    assert_eq!(cleaning.bytes(), 4);
    assert_eq!(tree(&fixture.root()), before);
    cleaning.remove().unwrap();
    let left: Vec<_> = tree(&fixture.root()).into_keys().collect();
    let expected = ["changed", "out", "out/mine", "src", "src/main.rs"];
    assert_eq!(left, expected.map(PathBuf::from));
    cleaning.remove().unwrap();
    fixture.restored(1);
    assert_eq!(fixture.read("out/deep/a").as_deref(), Some("a"));
}

#[test]
fn cleaning_the_cache_leaves_one_that_works() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    fixture.save(1);
    let cleaning = fixture.cache.cache_cleaning();
    assert!(cleaning.bytes() > 0);
    cleaning.remove().unwrap();
    let fixture = Fixture {
        cache: Cache::open(&fixture.dir.path().join("cache"), &fixture.root()).unwrap(),
        ..fixture
    };
    // What is the step's own is still known to be.
    assert_eq!(fixture.reasons(1), ["its record is no longer in the cache"]);
    assert_eq!(fixture.clear().moved, None);
    assert_eq!(fixture.read("out"), None);
    fixture.write("out", "1");
    fixture.save(1);
    fixture.hit(1);
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
    // Of a project that is gone, nothing is.
    fs::remove_dir_all(fixture.root()).unwrap();
    fixture.cache.cache_cleaning().remove().unwrap();
    assert_eq!(fs::read_dir(fixture.dir.path().join("cache/v4/projects")).unwrap().count(), 0);
}

#[test]
fn what_is_tracked_is_not_removed() {
    let fixture = Fixture::new(&["out", "made"]);
    fixture.write("out/a", "a");
    fixture.write("made", "m");
    fixture.save(1);
    let cleaning = fixture.cache.project_cleaning(|path| path == Path::new("out/a"));
    cleaning.remove().unwrap();
    assert_eq!(cleaning.tracked, [super::path("out/a")]);
    assert_eq!((fixture.read("out/a").as_deref(), fixture.read("made")), (Some("a"), None));
}

/// Saves a run whose output has this many bytes, last used so many hours ago.
fn save(fixture: &Fixture, input: u8, bytes: usize, hours: u64) {
    fixture.write("out", &input.to_string().repeat(bytes));
    fixture.save(input);
    age(&fixture.dir.path().join(format!("cache/v4/records/{}", trace(input).key())), hours);
}

fn age(path: &Path, hours: u64) {
    let time = SystemTime::now() - Duration::from_hours(hours);
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn is_hit(fixture: &Fixture, input: u8) -> bool {
    matches!(fixture.cache.find(&trace(input)), Lookup::Hit(_))
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let fixture = Fixture::new(&["out"]);
    for (input, hours) in [(1, 3), (2, 2), (3, 1)] {
        save(&fixture, input, 100_000, hours);
    }
    assert_eq!(fixture.cache.evict(MAX_SIZE, Duration::ZERO).records, 0);
    fixture.restored(1);
    let evicted = fixture.cache.evict(250_000, Duration::ZERO);
    assert_eq!([1, 2, 3].map(|input| is_hit(&fixture, input)), [true, false, true]);
    assert_eq!(evicted.records, 1);
    assert!((100_000..110_000).contains(&evicted.bytes), "{evicted:?}");
    assert!(!fixture.content(&"2".repeat(100_000)).exists());
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Current);
}

#[test]
fn what_another_run_may_be_about_to_record_is_left() {
    let fixture = Fixture::new(&["out"]);
    save(&fixture, 1, 5000, 2);
    fixture.cache.evict(10, Duration::from_hours(1));
    assert!(!is_hit(&fixture, 1));
    assert!(fixture.content(&"1".repeat(5000)).exists());
    age(&fixture.content(&"1".repeat(5000)), 2);
    fixture.cache.evict(10, Duration::from_hours(1));
    assert!(!fixture.content(&"1".repeat(5000)).exists());
}

#[test]
fn what_was_used_within_the_hour_stays_with_all_that_it_needs() {
    let fixture = Fixture::new(&["out"]);
    save(&fixture, 1, 5000, 2);
    save(&fixture, 2, 5000, 0);
    for input in ["1", "2"] {
        age(&fixture.content(&input.repeat(5000)), 2);
    }
    fixture.cache.evict(10, Duration::from_hours(1));
    assert_eq!([1, 2].map(|input| is_hit(&fixture, input)), [false, true]);
    assert!(matches!(fixture.restore(2), Ok(Restoration::Current)));
}

#[test]
fn a_content_that_two_runs_share_stays_with_the_later_one() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", &"x".repeat(50_000));
    for (input, hours) in [(1, 2), (2, 1)] {
        fixture.save(input);
        age(&fixture.dir.path().join(format!("cache/v4/records/{}", trace(input).key())), hours);
    }
    save(&fixture, 3, 100_000, 3);
    fixture.cache.evict(100_000, Duration::ZERO);
    assert_eq!([1, 2, 3].map(|input| is_hit(&fixture, input)), [true, true, false]);
}

#[test]
fn images_go_with_the_last_record_that_names_them_unless_they_have_a_name() {
    let fixture = Fixture::new(&[]);
    let images = fixture.cache.images();
    let build = |input: u8| {
        let layer = images.write("application/vnd.oci.image.layer.v1.tar", &vec![input; 50_000]).unwrap();
        let manifest = serde_json::json!({ "layers": [layer] }).to_string();
        let manifest =
            images.write("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes()).unwrap();
        let made = Made { image: Some(manifest.clone()), outputs: Outputs::default(), ..made() };
        fixture.cache.save(&Miss::new(trace(input), Reason::Forced), made).unwrap();
        age(
            &fixture.dir.path().join(format!("cache/v4/records/{}", trace(input).key())),
            u64::from(10 - input),
        );
        (layer, manifest)
    };
    let (first, second, third) = (build(1), build(2), build(3));
    images.set_ref("kept", &first.1).unwrap();
    fixture.cache.evict(130_000, Duration::ZERO);
    assert_eq!([1, 2, 3].map(|input| is_hit(&fixture, input)), [false, false, true]);
    assert_eq!([&first.0, &second.0, &third.0].map(|layer| images.has(&layer.digest)), [true, false, true]);
}

#[test]
fn the_last_runs_of_a_project_are_as_young_as_the_youngest() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    fixture.save(1);
    let projects = fixture.dir.path().join("cache/v4/projects");
    let runs = fs::read_dir(projects).unwrap().next().unwrap().unwrap().path().join("runs");
    let own = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    age(&own, 5);
    // Nobody has these open.
    let (old, young) = (runs.join("old"), runs.join("young"));
    fs::write(&old, "").unwrap();
    fs::write(&young, "").unwrap();
    age(&old, 5);
    fixture.cache.evict(10, Duration::from_hours(1));
    assert!(old.exists() && young.exists());
    age(&young, 5);
    fixture.cache.evict(10, Duration::from_hours(1));
    assert!(!old.exists() && !young.exists());
}

#[test]
fn trimming_looks_once_an_hour() {
    let fixture = Fixture::new(&["out"]);
    save(&fixture, 1, 1000, 2);
    // The last runs of a project stay while it is in use.
    assert_eq!(fixture.cache.trim(10).unwrap().records, 1);
    fixture.save(1);
    assert_eq!(fixture.cache.trim(10).unwrap().records, 0);
    assert!(is_hit(&fixture, 1));
    age(&fixture.dir.path().join("cache/v4/trimmed"), 2);
    assert_eq!(fixture.cache.trim(10).unwrap().records, 0);
    assert!(is_hit(&fixture, 1));
    age(&fixture.dir.path().join("cache/v4/trimmed"), 2);
    age(&fixture.dir.path().join(format!("cache/v4/records/{}", trace(1).key())), 2);
    assert_eq!(fixture.cache.trim(10).unwrap().records, 1);
    assert!(!is_hit(&fixture, 1));
}
