//! Conditions, drift, and what goes back: pure.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Approve, ProjectPath, Require, Secret, Sign, Stage};
use crate::diagnostic::{Code, Sources, Span, Spanned};
use crate::facts::Environment;
use crate::oci::Digest;
use crate::release::drift::{drifted, expected};
use crate::release::gate::{Approvals, Candidate, World, evidence, judge, refusal};
use crate::release::history::NotTold;
use crate::release::ledger::tests::entry;
use crate::release::{
    Entrance, Entry, EntryKind, EntryTag, Hold, Ledger, Running, Scans, StageState, State, Vouched,
    VouchedBy, Vouching, of_version, previous, ran_in, tags_back,
};
use crate::seal::Form;

const NOW: i64 = 1_800_000_000;

fn span() -> Span {
    Span::new(Sources::new().add("release.kdl", ""), 0..0)
}

fn stage(require: Require, approve: Option<&str>) -> Stage {
    Stage {
        name: Spanned::new("production".to_owned(), span()),
        about: None,
        home: ProjectPath::root(),
        on: Vec::new(),
        from: Vec::new(),
        images: Vec::new(),
        registry: None,
        tags: Vec::new(),
        require: Some(Spanned::new(require, span())),
        approve: approve
            .map(|by| Spanned::new(Approve { by: vec![by.to_owned()], pull_request: None }, span())),
        deploys: Vec::new(),
        verify: None,
        retain: None,
        record: None,
    }
}

fn running(entry: Entry, since: i64) -> Running {
    Running { id: Some("e".repeat(40)), since: Timestamp::from_second(since).unwrap(), number: 0, entry }
}

fn candidate(version: &str) -> Candidate {
    let ran = entry(EntryKind::Release, "staging", version, "a", NOW - 7200);
    Candidate {
        kind: EntryKind::Promote,
        automatic: true,
        event: "tag=v1".to_owned(),
        commit: "1".repeat(40),
        tree: "2".repeat(40),
        version: version.to_owned(),
        dirty: false,
        untracked: false,
        images: vec![("web".to_owned(), vec!["check".to_owned()])],
        scans: vec![("web".to_owned(), Scans::Passed(Vec::new()))],
        from: Some(("staging".to_owned(), running(ran, NOW - 7200))),
        vouching: vec![vouching("web", false)],
        source: None,
        leaves: None,
        reason: None,
    }
}

fn vouching(image: &str, declared: bool) -> Vouching {
    let env = |name: &str| Spanned::new(Secret::Env(name.to_owned()), span());
    let key = Sign { key: env("KEY"), password: env("PASSWORD"), span: span() };
    let keys = if declared { vec![key] } else { Vec::new() };
    Vouching { image: image.to_owned(), keys, provenance: declared }
}

fn world() -> World {
    World {
        now: Timestamp::from_second(NOW).unwrap(),
        branch: Ok(true),
        remote: None,
        behind: false,
        allow_regress: false,
        approval: Err(None),
        vouched: None,
    }
}

/// The conditions that are not met, with why and what would do.
fn unmet(stage: &Stage, candidate: &Candidate, known: &State, world: &World) -> Vec<String> {
    let gates = judge(stage, candidate, known, world);
    let notes = refusal(stage, &gates, Approvals::Settled).map(|problem| {
        assert_eq!(problem.code, Code::GateNotMet);
        problem.notes
    });
    notes.unwrap_or_default()
}

fn state(stages: &[(&str, Running, Option<Hold>)]) -> State {
    let stages = stages.iter().map(|(name, running, hold)| {
        let state = StageState {
            running: Some(running.clone()),
            last: running.id.clone(),
            hold: hold.clone(),
            entering: None,
        };
        ((*name).to_owned(), state)
    });
    State { stages: stages.collect() }
}

#[test]
fn each_condition_that_is_not_met_is_named_with_what_would_meet_it() {
    let require = Require {
        tests: true,
        scan: Some(crate::config::Severity::High),
        signed: true,
        provenance: true,
        soak: Some(Duration::from_hours(24)),
        branch: Some("main".to_owned()),
        clean: true,
        places: Vec::new(),
    };
    let stage = stage(require, Some("release-managers"));
    let mut candidate = candidate("1.0.0");
    candidate.dirty = true;
    candidate.images.push(("worker".to_owned(), Vec::new()));
    let world = World { branch: Ok(false), ..world() };
    assert_eq!(
        unmet(&stage, &candidate, &State::default(), &world),
        [
            "tests: nothing says that `worker` passed a test; declare a `test` or an `expect` in the image, and release it again".to_owned(),
            "scan: no scan says of `web` that nothing of severity high or worse is in it; declare `scan \"trivy\" \
             fail-on=\"high\"` in the image, and release it to `staging` again"
                .to_owned(),
            "signed: `web` and `worker` declare no `sign`; write `sign key=\"…\"` in the images, and release again".to_owned(),
            "provenance: `web` and `worker` declare no `sign` and `attest provenance=#true`; write `sign key=\"…\"; attest provenance=#true` in the images, and release again".to_owned(),
            "soak: they run in `staging` for 2 h 0 min, and 1 d 0 h are required; wait until 2027-01-16T06:00:00Z".to_owned(),
            "branch: commit 1111111 is not on `main`; merge it into `main`".to_owned(),
            "clean: the images were made from a tree with changes that are not committed; commit them, and release that commit".to_owned(),
            "approve: nobody of release-managers approved it; answer on a terminal, or set `HOIST_APPROVED_BY` to who approved it".to_owned(),
        ]
    );
}

#[test]
fn what_vouches_for_images_is_looked_at_where_they_are() {
    let stage = stage(Require { signed: true, provenance: true, ..Require::default() }, None);
    let candidate = Candidate { vouching: vec![vouching("web", true)], ..candidate("1.0.0") };
    let judged = |vouched: Option<Vec<Vouched>>| {
        let world = World { vouched, ..world() };
        let gates = judge(&stage, &candidate, &State::default(), &world);
        let met = evidence(&gates).into_iter().map(|gate| format!("{}: {}", gate.gate, gate.evidence));
        let unmet =
            refusal(&stage, &gates, Approvals::Settled).map(|problem| problem.notes).unwrap_or_default();
        let cut = |note: String| note.split(';').next().unwrap_or_default().to_owned();
        (met.collect::<Vec<_>>(), unmet.into_iter().map(cut).collect::<Vec<_>>())
    };
    let by = |signed: &[Form], provenance: &[Form], flaw: Option<&str>| VouchedBy {
        key: "the key `env:KEY` (abc)".to_owned(),
        signed: signed.to_vec(),
        provenance: provenance.to_vec(),
        flaw: flaw.map(str::to_owned),
    };
    let at = |place: &str, by: VouchedBy| Vouched {
        image: "web".to_owned(),
        place: place.to_owned(),
        by: vec![by],
    };
    let both = [Form::Tag, Form::Bundle];
    // What is declared has to do before the images are there.
    let (met, unmet) = judged(None);
    assert_eq!((met.len(), unmet.len()), (2, 0), "{met:?}");
    let (met, unmet) = judged(Some(vec![at("a/web", by(&both, &[Form::Bundle], None))]));
    assert_eq!(
        met,
        [
            "signed: `web` by the key `env:KEY` (abc) at a/web (tag, bundle)",
            "provenance: `web` by the key `env:KEY` (abc) at a/web (bundle)",
        ]
    );
    assert_eq!(unmet, Vec::<String>::new());
    // All places count, and one where nobody looked is no evidence.
    let second = at("b/web", by(&[], &[Form::Tag], Some("a signature there was not made by this key")));
    let (met, unmet) = judged(Some(vec![at("a/web", by(&both, &[], None)), second]));
    assert_eq!(met, Vec::<String>::new());
    assert_eq!(
        unmet,
        [
            "signed: `web` is not signed by the key `env:KEY` (abc) at b/web (a signature there was not made by this key)",
            "provenance: `web` is not attested by the key `env:KEY` (abc) at a/web",
        ]
    );
    let (_, unmet) = judged(Some(Vec::new()));
    assert_eq!(unmet[0], "signed: `web` is nowhere that could be looked at");
}

#[test]
fn a_clock_that_was_set_back_matters_to_soak_alone_which_says_so() {
    let soak = Require { soak: Some(Duration::from_hours(1)), ..Require::default() };
    let early = World { now: Timestamp::from_second(NOW - 86_400).unwrap(), ..world() };
    let said = "soak: by the clock of this machine it is 2027-01-14T08:00:00Z, and they run in `staging` since \
                2027-01-15T06:00:00Z; set the clock";
    assert_eq!(unmet(&stage(soak, None), &candidate("1.0.0"), &State::default(), &early), [said]);
    let require = Require { tests: true, clean: true, ..Require::default() };
    assert_eq!(unmet(&stage(require, None), &candidate("1.0.0"), &State::default(), &early), [""; 0]);
    // Of two stages that set a tag, the one that did so last is right, whatever its clock said.
    let late = entry(EntryKind::Release, "staging", "1.0.0", "a", NOW);
    let behind = entry(EntryKind::Release, "production", "1.1.0", "b", NOW - 86_400);
    let known = State::default().after(&late).at("one").after(&behind).at("two");
    let latest = expected(&known).into_iter().find(|tag| tag.tag == "latest").unwrap();
    assert_eq!((latest.stage.as_str(), latest.digest), ("production", Digest::of(b"b")));
}

#[test]
fn what_died_half_way_is_not_left_behind_by_what_is_older() {
    let stage = stage(Require::default(), None);
    let half = |version: &str, does| Entry {
        kind: EntryKind::Entering,
        does: Some(does),
        run: Some("dead".to_owned()),
        event: "tag=v1".to_owned(),
        ..entry(EntryKind::Release, "production", version, "b", NOW)
    };
    let judged = |candidate: Candidate, before: Entry, died: bool| {
        let dir = tempfile::tempdir().unwrap();
        git2::Repository::init(dir.path()).unwrap();
        let ledger = Ledger::open(dir.path(), &Environment::default()).unwrap();
        let stages = vec![(stage.clone(), candidate)];
        let entrance = Entrance::new(ledger, dir.path().to_owned(), "tester".to_owned(), false, stages);
        if died {
            entrance.take_over("dead");
        }
        let known = State::default().after(&before).at("one");
        let refused = entrance.check_before_approval(&known, true).err();
        refused.map(|problems| problems.as_slice()[0].notes.join("\n"))
    };
    let of = |kind, version: &str| Candidate { kind, ..candidate(version) };
    let release = |version: &str| half(version, EntryKind::Promote);
    for (kind, version, before, refused) in [
        (EntryKind::Promote, "1.0.0", release("1.1.0"), true),
        (EntryKind::Promote, "1.1.0", release("1.1.0"), false),
        (EntryKind::Promote, "1.2.0", release("1.1.0"), false),
        (EntryKind::Rollback, "1.2.0", release("1.1.0"), true),
        (EntryKind::Promote, "1.2.0", half("1.1.0", EntryKind::Rollback), true),
        (EntryKind::Rollback, "1.1.0", half("1.1.0", EntryKind::Rollback), false),
    ] {
        let notes = judged(of(kind, version), before.clone(), true);
        assert_eq!(notes.is_some(), refused, "{kind:?} {version}: {notes:?}");
        if let Some(notes) = notes {
            assert!(
                notes.contains("1.1.0 of tester stopped half way there; `hoist resume` finishes"),
                "{notes}"
            );
        }
        // Who goes on is waited for, and judged then.
        assert_eq!(judged(of(kind, version), before, false), None);
    }
}

#[test]
fn what_is_met_is_evidence() {
    let require = Require {
        tests: true,
        soak: Some(Duration::from_hours(1)),
        branch: Some("main".to_owned()),
        clean: true,
        ..Require::default()
    };
    let stage = stage(require, Some("release-managers"));
    let world = World { approval: Ok("ada, on a terminal".to_owned()), ..world() };
    let gates = judge(&stage, &candidate("1.0.0"), &State::default(), &world);
    assert_eq!(refusal(&stage, &gates, Approvals::Settled), None);
    let evidence: Vec<_> =
        evidence(&gates).into_iter().map(|gate| format!("{}: {}", gate.gate, gate.evidence)).collect();
    assert_eq!(
        evidence,
        [
            "tests: 1 test passed",
            "soak: they run in `staging` since 2027-01-15T06:00:00Z",
            "branch: 1111111 is on `main`",
            "clean: the tree had no changes",
            "approve: ada, on a terminal, for release-managers",
        ]
    );
}

#[test]
fn what_cannot_be_judged_is_not_met() {
    let of_branch = stage(Require { branch: Some("main".to_owned()), ..Require::default() }, None);
    let pushed = World { branch: Ok(false), remote: Some("origin".to_owned()), ..world() };
    let notes = unmet(&of_branch, &candidate("1.0.0"), &State::default(), &pushed);
    assert_eq!(
        notes,
        [
            "branch: commit 1111111 is not on `origin/main`, as that was fetched last; merge it into `main`, and push that"
        ]
    );
    let unknown = World { branch: Err(NotTold::new("history is cut off here")), ..world() };
    let notes = unmet(&of_branch, &candidate("1.0.0"), &State::default(), &unknown);
    assert!(notes[0].starts_with("branch: whether commit 1111111 is on `main` is not known"), "{notes:?}");
    let of_soak = stage(Require { soak: Some(Duration::ZERO), ..Require::default() }, None);
    let from_nowhere = Candidate { from: None, ..candidate("1.0.0") };
    let notes = unmet(&of_soak, &from_nowhere, &State::default(), &world());
    assert_eq!(notes, ["soak: the images come from no stage that they could have run in; declare `from`"]);
}

#[test]
fn a_stage_never_goes_back_by_itself() {
    let stage = stage(Require::default(), None);
    let runs = |version: &str| {
        let entry = entry(EntryKind::Promote, "production", version, "b", NOW - 60);
        state(&[("production", running(entry, NOW - 60), None)])
    };
    let unmet = |runs: &State, version: &str, world: &World| unmet(&stage, &candidate(version), runs, world);
    let back = "`--allow-regress`, or `hoist rollback production`, goes back";
    assert_eq!(
        unmet(&runs("2.0.1"), "1.9.1", &world()),
        [format!("order: it runs 2.0.1, which is higher than 1.9.1; {back}")]
    );
    assert_eq!(unmet(&runs("1.9.1"), "1.10.0", &world()), [""; 0]);
    let behind = World { behind: true, ..world() };
    assert_eq!(
        unmet(&runs("abc1234"), "def5678", &behind),
        [format!("order: it runs a later commit of the same history; {back}")]
    );
    assert_eq!(unmet(&runs("abc1234"), "def5678", &world()), [""; 0]);
    let allowed = World { allow_regress: true, ..world() };
    assert_eq!(unmet(&runs("2.0.1"), "1.9.1", &allowed), [""; 0]);
}

#[test]
fn a_stage_on_hold_is_entered_by_hand_alone() {
    let stage = stage(Require::default(), None);
    let since = Timestamp::from_second(NOW - 60).unwrap();
    let hold = Hold { since, by: "ada".to_owned(), reason: "it was slow".to_owned(), given_up: false };
    let entry = entry(EntryKind::Rollback, "production", "0.9.0", "b", NOW - 60);
    let runs = state(&[("production", running(entry, NOW - 60), Some(hold))]);
    assert_eq!(
        unmet(&stage, &candidate("1.0.0"), &runs, &world()),
        [
            "hold: it is on hold since 2027-01-15T07:59:00Z, by ada: it was slow; `hoist release --lift-hold` enters it all the same, and ends that"
        ]
    );
    let by_hand = Candidate { automatic: false, ..candidate("1.0.0") };
    assert_eq!(unmet(&stage, &by_hand, &runs, &world()), [""; 0]);
}

#[test]
fn only_the_tree_that_runs_in_a_stage_is_taken_from_there() {
    let mut ran = entry(EntryKind::Release, "staging", "1.0.0", "a", NOW);
    let (commit, tree) = (ran.commit.clone(), ran.tree.clone());
    let state_of = |entry: &Entry| state(&[("staging", running(entry.clone(), NOW), None)]);
    assert!(ran_in(&state_of(&ran), "staging", (&commit, &tree)).is_ok());
    // Another commit of the same tree is the same.
    assert!(ran_in(&state_of(&ran), "staging", (&"9".repeat(40), &tree)).is_ok());
    let other = ran_in(&state_of(&ran), "staging", (&"9".repeat(40), &"8".repeat(40))).unwrap_err();
    assert_eq!(other.code, Code::NotPromotable);
    assert_eq!(other.notes, ["`staging` runs 1.0.0 of commit 1111111"]);
    ran.dirty = true;
    let dirty = ran_in(&state_of(&ran), "staging", (&commit, &tree)).unwrap_err();
    assert_eq!(dirty.notes, ["`staging` runs 1.0.0 of commit 1111111, with changes that are not committed"]);
    assert!(ran_in(&State::default(), "staging", (&commit, &tree)).is_err());
}

#[test]
fn what_failed_in_a_stage_is_not_promoted_from_there() {
    let directory = tempfile::tempdir().unwrap();
    git2::Repository::init(directory.path()).unwrap();
    let refused = |kind: EntryKind, held: i64| {
        let running = running(entry(kind, "staging", "1.0.0", "a", NOW - 7200), NOW - 7200);
        let since = Timestamp::from_second(held).unwrap();
        let hold = Hold {
            since,
            by: "ada".to_owned(),
            reason: "`staging:verify` failed".to_owned(),
            given_up: false,
        };
        let from = Some(("staging".to_owned(), running.clone()));
        let candidate = Candidate { from, automatic: false, ..candidate("1.0.0") };
        let entrance = entrance(directory.path(), candidate);
        let checked = entrance.check_before_approval(&state(&[("staging", running, Some(hold))]), true);
        checked.err().map(|problems| problems.as_slice()[0].notes.concat())
    };
    let why = "from: these images failed in `staging`: `staging:verify` failed; \
               enter `staging` again, where they have to work before";
    assert_eq!(refused(EntryKind::Release, NOW - 7100).as_deref(), Some(why));
    assert_eq!(refused(EntryKind::Rollback, NOW - 7100).as_deref(), Some(why));
    // What a stage went back to works there.
    assert_eq!(refused(EntryKind::Rollback, NOW - 7200), None);
}

#[test]
fn what_somebody_else_entered_a_stage_with_since_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    git2::Repository::init(directory.path()).unwrap();
    let of = |version: &str, at: i64| entry(EntryKind::Promote, "production", version, version, NOW + at);
    let Entry { event, commit, .. } = of("1.0.0", 0);
    let entrance = entrance(directory.path(), Candidate { event, commit, ..candidate("1.0.0") });
    let ledger = Ledger::open(directory.path(), &Environment::default()).unwrap();
    let put = |entry: &Entry| ledger.append(|_| Ok(Some(entry.clone()))).unwrap();
    let others = || entrance.run_by_others("production").unwrap().map(|entry| entry.version);
    let held = || ledger.read().unwrap().state.stages["production"].hold.clone().map(|hold| hold.reason);
    put(&of("1.0.0", 0));
    assert_eq!(others(), None);
    put(&of("1.1.0", 1));
    assert_eq!(others().as_deref(), Some("1.1.0"));
    entrance.abort("production", "it was slow").unwrap();
    assert_eq!(held(), None);
    put(&of("1.0.0", 2));
    entrance.abort("production", "it was slow").unwrap();
    assert_eq!(held().as_deref(), Some("it was slow"));
}

/// A run that enters production.
fn entrance(root: &Path, candidate: Candidate) -> Entrance {
    let ledger = Ledger::open(root, &Environment::default()).unwrap();
    let stages = vec![(stage(Require::default(), None), candidate)];
    Entrance::new(ledger, root.to_owned(), "ada".to_owned(), false, stages)
}

/// A history, the newest first, of kinds, versions, and images.
fn history(all: &[(EntryKind, &str)]) -> Vec<(String, Entry)> {
    let entries = all.iter().zip(0i64..).map(|((kind, version), at)| {
        (format!("{at}"), entry(*kind, "production", version, version, NOW + at))
    });
    let mut entries: Vec<_> = entries.collect();
    entries.reverse();
    entries
}

#[test]
fn a_stage_goes_back_to_what_it_ran_before_and_not_to_what_was_rolled_back() {
    use EntryKind::{Aborted, Promote, Rollback};
    let to = |all: &[(EntryKind, &str)]| previous(&history(all)).map(|(_, entry)| entry.version.clone());
    assert_eq!(to(&[]), None);
    assert_eq!(to(&[(Promote, "1")]), None);
    assert_eq!(to(&[(Promote, "1"), (Promote, "2")]).as_deref(), Some("1"));
    assert_eq!(to(&[(Promote, "1"), (Promote, "2"), (Promote, "2")]).as_deref(), Some("1"));
    let rolled = [(Promote, "1"), (Promote, "2"), (Promote, "3"), (Rollback, "2")];
    assert_eq!(to(&rolled).as_deref(), Some("1"));
    assert_eq!(to(&[&rolled[..], &[(Rollback, "1")]].concat()), None);
    assert_eq!(to(&[&rolled[..], &[(Promote, "4"), (Aborted, "4")]].concat()).as_deref(), Some("2"));
    // What failed when it entered is nothing to go back to; what only could not go back is.
    let failed = [(Promote, "1"), (Promote, "2"), (Aborted, "2"), (Promote, "3")];
    assert_eq!(to(&failed).as_deref(), Some("1"));
    assert_eq!(to(&failed[1..]), None);
    let given_up = [(Promote, "1"), (Promote, "2"), (Aborted, "3"), (Promote, "4")];
    assert_eq!(to(&given_up).as_deref(), Some("2"));
    let worked = [(Promote, "1"), (Promote, "2"), (Rollback, "1"), (Aborted, "1"), (Promote, "3")];
    assert_eq!(to(&worked).as_deref(), Some("1"));
    // Nor is what nobody saw work: its run died, and somebody else entered the stage.
    let mut unproved = history(&[(Promote, "1"), (Promote, "2"), (Promote, "3")]);
    unproved[1].1.run = Some("two".to_owned());
    unproved[0].1.overtakes = Some("two".to_owned());
    assert_eq!(previous(&unproved).map(|(_, entry)| entry.version.as_str()), Some("1"));
    // What was added stays in a stage that goes back, and comes with it when it goes back again.
    let mut grown = history(&[(Promote, "1"), (Promote, "2"), (Rollback, "1"), (Promote, "3")]);
    for (at, digest) in [(2, "2"), (1, "2"), (0, "3")] {
        let mut api = grown[at].1.images[0].clone();
        (api.name, api.digest) = ("api".to_owned(), Digest::of(digest.as_bytes()));
        grown[at].1.images.push(api);
    }
    grown[1].1.source = Some("0".to_owned());
    assert_eq!(previous(&grown).map(|(id, _)| id.as_str()), Some("2"));
    assert_eq!(previous(&grown[1..]), None);
    let all = history(&rolled);
    let found = of_version(&all, "v3").map(|(id, _)| id.as_str());
    assert_eq!((found, of_version(&all, "7")), (Some("2"), None));
}

/// A history of versions, the newest first, each with the moving tags that it set.
fn tagged(all: &[(&str, &[&str])]) -> Vec<(String, Entry)> {
    let kinds: Vec<_> = all.iter().map(|(version, _)| (EntryKind::Promote, *version)).collect();
    let mut history = history(&kinds);
    for ((_, entry), (_, tags)) in history.iter_mut().rev().zip(all) {
        let moving = |tag: &&str| EntryTag { tag: (*tag).to_owned(), immutable: false, digest: None };
        let set = &mut entry.images[0].places[0].tags;
        set.retain(|tag| tag.immutable);
        set.extend(tags.iter().map(moving));
    }
    history
}

/// The tags that go back to an entry, and to which version each does.
fn back(to: &str, all: &[(String, Entry)]) -> Vec<(String, &'static str)> {
    let version = |digest| {
        let known = ["1.2.8", "1.2.9", "1.2.10", "1.3.0", "1.3.1"];
        *known.iter().find(|version| Digest::of(version.as_bytes()) == digest).unwrap()
    };
    tags_back(to, all).into_iter().map(|back| (back.tag, version(back.to))).collect()
}

#[test]
fn a_tag_goes_back_to_what_it_held_when_the_stage_ran_what_it_goes_back_to() {
    let all = tagged(&[
        ("1.2.9", &["1.2", "1", "latest"]),
        ("1.3.0", &["1.3", "1", "latest"]),
        ("1.2.10", &["1.2"]),
    ]);
    // `1.2` never held a 1.3.0; `1.3` was nowhere when 1.2.9 ran.
    assert_eq!(back("1", &all), [("1.2".to_owned(), "1.2.9")]);
    assert_eq!(back("0", &all), ["1.2", "1", "latest"].map(|tag| (tag.to_owned(), "1.2.9")));
    assert_eq!(back("2", &all), []);
    assert_eq!(tags_back("1", &all)[0].holds, Digest::of(b"1.2.10"));
}

#[test]
fn what_a_rollback_gave_back_counts_as_set_by_it() {
    let mut all =
        tagged(&[("1.2.9", &["1.2"]), ("1.3.0", &["1.3"]), ("1.2.10", &["1.2"]), ("1.3.0", &["1.2"])]);
    all[0].1.kind = EntryKind::Rollback;
    all[0].1.images[0].places[0].tags[1].digest = Some(Digest::of(b"1.2.9"));
    let [back] = &tags_back("0", &all)[..] else { panic!() };
    assert_eq!((back.holds, back.to), (Digest::of(b"1.2.9"), Digest::of(b"1.2.9")));
    let state = state(&[("production", running(all[0].1.clone(), NOW), None)]);
    let latest = expected(&state).into_iter().find(|expected| expected.tag == "1.2").unwrap();
    assert_eq!(latest.digest, Digest::of(b"1.2.9"));
}

#[test]
fn tags_of_an_image_that_did_not_run_there_then_stay() {
    let mut all = tagged(&[("1.2.9", &["1.2"]), ("1.3.0", &["1.2"]), ("1.3.1", &["1.2"])]);
    all[1].1.images[0].name = "api".to_owned();
    assert_eq!(back("1", &all), []);
    assert_eq!(back("0", &all), [("1.2".to_owned(), "1.2.9")]);
}

#[test]
fn of_stages_that_set_the_same_tag_the_last_one_is_right() {
    let one = entry(EntryKind::Release, "staging", "1.0.0", "a", NOW);
    let two = entry(EntryKind::Promote, "production", "1.1.0", "b", NOW + 1);
    let state = state(&[("production", running(two, NOW + 1), None), ("staging", running(one, NOW), None)]);
    let all = expected(&state);
    let said: Vec<_> = all.iter().map(|one| (one.tag.as_str(), one.stage.as_str())).collect();
    assert_eq!(said, [("1.0.0", "staging"), ("1.1.0", "production"), ("latest", "production")]);
    let latest = &all[2];
    assert_eq!(drifted(latest, Some(Digest::of(b"b"))), None);
    assert_eq!(drifted(latest, None).map(|drift| drift.holds), Some(None));
    let other = Some(Digest::of(b"a"));
    assert_eq!(drifted(latest, other).map(|drift| drift.holds), Some(other));
}
