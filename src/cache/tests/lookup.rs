//! Hits, misses, and what the cache remembers.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::{Fixture, large, made, trace, tree};
use crate::cache::sealed::{seal, unseal};
use crate::cache::{
    Cache, Exactness, Key, Lookup, Made, Miss, Outcome, Product, Reason, Restoration, Standing, Trace,
};
use crate::diagnostic::Code;
use crate::oci::{Descriptor, Digest};
use crate::plan::{Effect, StepId};

#[test]
fn a_step_that_never_ran_is_a_miss_and_what_it_makes_is_a_hit_from_then_on() {
    let fixture = Fixture::new(&["out"]);
    assert_eq!(fixture.reasons(1), ["never ran here"]);
    fixture.write("out/a", "a");
    let saved = fixture.save(1);
    assert!(saved.kept);
    let hit = fixture.hit(1);
    assert_eq!(hit.record, saved.record);
    assert_eq!(hit.record.duration, Duration::from_millis(1500));
    let log = fixture.cache.log(&hit.record).unwrap();
    assert_eq!(fs::read(log).unwrap(), b"log\n");
    assert_eq!(fixture.reasons(2), ["in changed"]);
}

#[test]
fn going_back_to_an_earlier_state_is_a_hit_and_the_next_reason_is_seen_from_there() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    fixture.save(1);
    fixture.write("out", "2");
    fixture.save(2);
    assert_eq!(fixture.restored(1), ["out is not what was made"]);
    assert_eq!(fixture.read("out").as_deref(), Some("1"));
    let last = fixture.cache.last(&StepId::target("make")).unwrap();
    assert_eq!((last.record.key, last.outcome), (trace(1).key(), Outcome::Done));
}

#[test]
fn two_projects_share_results_but_not_reasons() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    fixture.save(1);
    let other = fixture.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let cache = Cache::open(&fixture.dir.path().join("cache"), &other).unwrap();
    let Lookup::Hit(hit) = cache.find(&trace(1)) else { panic!("a miss") };
    assert!(matches!(
        cache.restore(&hit, &fixture.patterns, Exactness::Whole),
        Ok(Restoration::Restored(..))
    ));
    assert_eq!(fs::read(other.join("out")).unwrap(), b"1");
    let third = Cache::open(&fixture.dir.path().join("cache"), &fixture.dir.path().join("third")).unwrap();
    let Lookup::Miss(miss) = third.find(&trace(2)) else { panic!("a hit") };
    assert_eq!(miss.reasons(), [Reason::NeverRan]);
}

#[test]
fn a_step_finds_what_another_one_with_the_same_parts_made_and_remembers_it_as_its_own() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    fixture.save(1);
    let other = |input: u8| Trace::new(&StepId::target("other"), &super::definition(input), []);
    let Lookup::Hit(hit) = fixture.cache.find(&other(1)) else { panic!("a miss") };
    assert_eq!(hit.record.step, "other");
    fixture.cache.restore(&hit, &fixture.patterns, Exactness::Whole).unwrap();
    let Lookup::Miss(miss) = fixture.cache.find(&other(2)) else { panic!("a hit") };
    let said: Vec<_> = miss.reasons().iter().map(ToString::to_string).collect();
    assert_eq!(said, ["in changed"]);
}

#[test]
fn a_failure_is_remembered_with_what_was_made_until_then() {
    let fixture = Fixture::new(&["out", "more"]);
    for name in ["out", "more"] {
        fixture.write(name, "1");
    }
    fixture.save(1);
    let Lookup::Miss(miss) = fixture.cache.find(&trace(2)) else { panic!("a hit") };
    fixture.write("out", "2");
    fs::remove_file(fixture.path("more")).unwrap();
    let save = |outcome| {
        let places = (fixture.patterns.as_slice(), &Standing::default());
        fixture.cache.save_rest(&miss, places, outcome, Timestamp::UNIX_EPOCH, Duration::ZERO).unwrap();
    };
    save(Outcome::Stopped);
    assert_eq!(fixture.reasons(2), ["was stopped the last time"]);
    save(Outcome::Failed);
    assert_eq!(fixture.reasons(2), ["failed the last time"]);
    let last = fixture.cache.last(&StepId::target("make")).unwrap();
    assert_eq!(last.outcome, Outcome::Failed);
    let made: Vec<_> = last.record.outputs.iter().map(|output| output.path.to_string()).collect();
    assert_eq!(made, ["out"]);
}

#[test]
fn a_run_whose_inputs_moved_is_not_kept() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    let Lookup::Miss(miss) = fixture.cache.find(&trace(1)) else { panic!("a hit") };
    let saved = fixture.cache.save(&miss, Made { steady: false, ..fixture.made() }).unwrap();
    assert!(!saved.kept);
    assert_eq!(
        fixture.reasons(1),
        ["its last run was not kept: inputs changed, access was denied, or its log was cut"]
    );
}

#[test]
fn a_run_whose_outputs_change_while_they_are_saved_is_not_kept() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    let made = fixture.made();
    fixture.write("out", "2");
    let Lookup::Miss(miss) = fixture.cache.find(&trace(1)) else { panic!("a hit") };
    assert!(!fixture.cache.save(&miss, made).unwrap().kept);
    assert!(!fixture.content("2").exists());
    assert!(matches!(fixture.cache.find(&trace(1)), Lookup::Miss(_)));
}

#[test]
fn what_always_runs_is_remembered_and_never_a_hit() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    let saved = fixture.cache.save(&Miss::new(trace(1), Reason::NoInputs), fixture.made()).unwrap();
    assert!(!saved.kept);
    assert!(!fixture.content("1").exists());
    assert_eq!(saved.record.product(Effect::Always), Product::Outputs(saved.record.outputs.digest()));
    assert!(fixture.cache.last(&StepId::target("make")).is_some());
}

#[test]
fn without_the_cache_nothing_is_kept_but_what_is_the_steps_own() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    let miss = Miss::new(trace(1), Reason::CacheOff);
    let made = Made { outputs: fixture.collect().unwrap(), ..made() };
    assert!(!fixture.cache.save(&miss, made).unwrap().kept);
    assert!(!fixture.content("1").exists());
    assert_eq!(fixture.reasons(1), ["ran without the cache the last time"]);
    assert_eq!(fixture.clear().moved, None);
    assert_eq!(fixture.read("out"), None);
}

#[test]
fn a_product_is_the_image_else_the_outputs_else_the_key() {
    let fixture = Fixture::new(&["out"]);
    let bare = fixture.cache.save(&Miss::new(trace(1), Reason::Forced), made()).unwrap().record;
    assert_eq!(bare.product(Effect::Cacheable), Product::Key(trace(1).key()));
    assert_eq!(bare.product(Effect::Always), Product::Nothing);
    let image = fixture.cache.images().write("application/vnd.oci.image.manifest.v1+json", b"{}").unwrap();
    let built = Made { image: Some(image.clone()), ..made() };
    let built = fixture.cache.save(&Miss::new(trace(2), Reason::Forced), built).unwrap().record;
    assert_eq!(built.product(Effect::Cacheable), Product::Image(image.digest));
}

#[test]
fn an_image_that_lacks_a_blob_is_a_miss() {
    let fixture = Fixture::new(&[]);
    let images = fixture.cache.images();
    let config = images.write("application/vnd.oci.image.config.v1+json", b"{}").unwrap();
    let layer = images.write("application/vnd.oci.image.layer.v1.tar", b"layer").unwrap();
    let manifest = serde_json::json!({ "config": config, "layers": [layer] }).to_string();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = images.write(media_type, manifest.as_bytes()).unwrap();
    let index = serde_json::json!({ "manifests": [manifest] }).to_string();
    let index = images.write("application/vnd.oci.image.index.v1+json", index.as_bytes()).unwrap();
    let save = |input, image: Descriptor| {
        let made = Made { image: Some(image), ..made() };
        fixture.cache.save(&Miss::new(trace(input), Reason::Forced), made).unwrap();
    };
    save(1, index);
    fixture.hit(1);
    fs::remove_file(images.blob_path(&layer.digest)).unwrap();
    assert_eq!(fixture.reasons(1), ["its image is no longer in the cache"]);
    save(2, Descriptor::new(media_type, Digest::of(b"nothing"), 7));
    assert_eq!(fixture.reasons(2), ["its image is no longer in the cache"]);
}

#[test]
fn a_damaged_record_is_a_miss() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    fixture.save(1);
    let record = fixture.dir.path().join(format!("cache/v4/records/{}", trace(1).key()));
    let sealed = fs::read(&record).unwrap();
    let (length, whole) = unseal(&sealed).unwrap().split_at(4);
    let whole = String::from_utf8(whole.to_vec()).unwrap();
    for damaged in [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("\"format\":2", "\"format\":1"),
        format!("{whole}1"),
        whole.replace("\"path\":\"out\"", "\"path\":\"../out\""),
        whole.replace("\"path\":\"out\"", "\"path\":\"/out\""),
        whole.replace(&trace(1).key().to_string(), &Key([1; 32]).to_string()),
    ] {
        assert_ne!(damaged, whole);
        fs::remove_file(&record).unwrap();
        fs::write(&record, seal([length, damaged.as_bytes()].concat())).unwrap();
        assert_eq!(fixture.reasons(1), ["its record in the cache cannot be read"]);
    }
    for damaged in [&sealed[1..], &sealed[..sealed.len() - 1], b""] {
        fs::remove_file(&record).unwrap();
        fs::write(&record, damaged).unwrap();
        assert_eq!(fixture.reasons(1), ["its record in the cache cannot be read"]);
    }
    fs::remove_file(&record).unwrap();
    assert_eq!(fixture.reasons(1), ["its record is no longer in the cache"]);
}

#[test]
fn a_content_that_is_gone_or_cut_off_is_a_miss() {
    let fixture = Fixture::new(&["out"]);
    let content = large("content");
    fixture.write("out", &content);
    fixture.save(1);
    fs::remove_file(fixture.content(&content)).unwrap();
    fs::write(fixture.content(&content), "cont").unwrap();
    assert_eq!(fixture.reasons(1), ["out is no longer in the cache"]);
    fs::remove_file(fixture.content(&content)).unwrap();
    assert_eq!(fixture.reasons(1), ["out is no longer in the cache"]);
    fixture.save(1);
    fixture.hit(1);
}

#[test]
fn a_damaged_content_is_found_when_it_is_read_and_removed_and_the_workspace_is_left_alone() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out/a", "first");
    let content = large("content");
    fixture.write("out/b", &content);
    fixture.save(1);
    fs::remove_file(fixture.content(&content)).unwrap();
    fs::write(fixture.content(&content), content.to_uppercase()).unwrap();
    fs::remove_dir_all(fixture.path("out")).unwrap();
    let before = tree(&fixture.root());
    assert_eq!(fixture.restore(1).unwrap(), Restoration::Lost(Reason::ContentCorrupt("out/b".into())));
    assert_eq!(tree(&fixture.root()), before);
    assert!(!fixture.content(&content).exists());
    assert_eq!(fixture.reasons(1), ["out/b is no longer in the cache"]);
    // Whatever lies in its place makes way.
    fs::create_dir_all(fixture.content(&content).join("directory")).unwrap();
    fixture.write("out/a", "first");
    fixture.write("out/b", &content);
    fixture.save(1);
    fs::remove_dir_all(fixture.path("out")).unwrap();
    assert!(matches!(fixture.restore(1).unwrap(), Restoration::Restored(..)));
}

#[test]
fn a_cache_that_cannot_be_written_is_said_at_once() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("cache"), "a file").unwrap();
    let problem = Cache::open(&dir.path().join("cache"), dir.path()).unwrap_err();
    assert_eq!(problem.code, Code::CacheUnusable);
    assert!(problem.help.is_some_and(|help| help.contains("HOIST_CACHE_DIR")));
}

#[test]
fn another_format_beside_is_neither_read_nor_changed() {
    let fixture = Fixture::new(&["out"]);
    let other = fixture.dir.path().join("cache/v9/records");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("x"), "x").unwrap();
    fixture.write("out", "1");
    fixture.save(1);
    assert_eq!(fs::read(other.join("x")).unwrap(), b"x");
}

#[test]
fn many_threads_save_and_restore_the_same_key() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out/a", &"a".repeat(100_000));
    fixture.write("out/b", "b");
    let made = fixture.made();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (fixture, made) = (&fixture, made.clone());
            scope.spawn(move || {
                let root = fixture.dir.path().join(format!("clone-{number}"));
                fs::create_dir(&root).unwrap();
                let cache = Cache::open(&fixture.dir.path().join("cache"), &root).unwrap();
                let miss = Miss::new(trace(1), Reason::Forced);
                for _ in 0..5 {
                    // From one workspace and into another, all at the same time.
                    assert!(fixture.cache.save(&miss, made.clone()).unwrap().kept);
                    let Lookup::Hit(hit) = cache.find(&trace(1)) else { panic!("a miss") };
                    let _ = fs::remove_dir_all(root.join("out"));
                    let restoration = cache.restore(&hit, &fixture.patterns, Exactness::Whole).unwrap();
                    assert!(matches!(restoration, Restoration::Restored(..)));
                    assert_eq!(fixture.collect().unwrap(), made.outputs);
                }
            });
        }
    });
    assert_eq!(fs::read_dir(fixture.dir.path().join("cache/v4/tmp")).unwrap().count(), 0);
}

#[test]
fn a_log_that_is_cut_or_changed_is_a_miss() {
    let fixture = Fixture::new(&["out"]);
    fixture.write("out", "1");
    fixture.save(1);
    let log = fixture.content("log\n");
    let write = |text: &str| {
        fs::remove_file(&log).unwrap();
        fs::write(&log, text).unwrap();
    };
    write("lo");
    assert_eq!(fixture.reasons(1), ["its log is no longer in the cache"]);
    write("lag\n");
    let lost = Restoration::Lost(Reason::ContentCorrupt("its log".to_owned()));
    assert_eq!(fixture.restore(1), Ok(lost));
    assert!(!log.exists());
    assert_eq!(fixture.reasons(1), ["its log is no longer in the cache"]);
}
