//! A world that is always the same, and what holds for every problem.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a fuzz target fails by a panic")]

use hoist::config::{LoadedDocument, ProjectPath, Release, decode};
use hoist::diagnostic::{Problems, Sources};
use hoist::facts::{
    Environment, Event, EventSource, Facts, Git, InputFile, InputKind, Inputs, Links, Needs, ResolvedBase,
    Seen, Walked,
};
use hoist::oci::Platform;
use hoist::plan::{Goals, Options, Plan, build, select};
use indexmap::IndexMap;
use jiff::Timestamp;

/// Largest text that is read: what is larger only takes longer.
pub const LARGEST: usize = 4096;

/// A text of a reasonable size out of what the fuzzer made.
#[must_use]
pub fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data.get(..LARGEST).unwrap_or(data)).ok()
}

/// Whatever is wrong is said, at places that are there.
pub fn check(problems: &Problems, sources: &Sources) {
    assert!(!problems.is_empty(), "an error without a problem");
    for problem in problems.as_slice() {
        assert!(!problem.title.is_empty(), "{problem:?}");
        for label in &problem.labels {
            let source = sources.get(label.span.source).expect("a span is of a known source");
            assert!(source.text.get(label.span.range()).is_some(), "{problem:?}");
        }
    }
}

/// What a file declares.
///
/// # Errors
/// All that is wrong with it.
pub fn release(text: &str, sources: &mut Sources) -> Result<Release, Problems> {
    let source = sources.add("release.kdl", text);
    let path = ProjectPath::root().join("release.kdl").expect("it lies in the project");
    let document =
        LoadedDocument { document: hoist::syntax::parse(source, text)?, path, prefix: String::new() };
    decode(&[document], "demo")
}

/// The plan of some goals, where each question has an answer that is always the
/// same.
///
/// # Errors
/// All that is wrong with it.
pub fn plan(release: &Release, goals: &Goals, event: Event) -> Result<Plan, Problems> {
    let selection = select(release, goals, &Links::default())?;
    build(release, &facts(&selection.needs, event), &selection, &Options::default())
}

/// Facts that answer what is needed.
#[must_use]
pub fn facts(needs: &Needs, event: Event) -> Facts {
    let answer = |at: usize| {
        let path = ProjectPath::root().join(format!("input-{at}")).expect("it lies in the project");
        let file = InputFile { path, kind: InputKind::File, digest: [1; 32], seen: Seen::default() };
        Inputs { files: vec![file], ..Inputs::default() }
    };
    Facts {
        event,
        event_source: EventSource::Head,
        git: Some(Git {
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            branch: Some("main".to_owned()),
            describe: "v1.2.2-3-g0123456".to_owned(),
            described_before: "v1.2.2-3-g0123456".to_owned(),
            dirty: false,
            time: Timestamp::UNIX_EPOCH,
            branches: vec!["feature/a".to_owned(), "main".to_owned()],
            remote: None,
            shallow: false,
        }),
        environment: Environment::from_iter([("HOME", "/home/dev"), ("SET", "value")]),
        dotenv: vec!["SET".to_owned()],
        overrides: IndexMap::new(),
        now: Timestamp::UNIX_EPOCH,
        os: "linux",
        platform: Platform::host(),
        user: "dev".to_owned(),
        walked: Walked::default(),
        inputs: (0..needs.inputs.len()).map(answer).collect(),
        tools: vec!["1.0".to_owned(); needs.tools.len()],
        dockerfiles: Vec::new(),
        bases: vec![ResolvedBase::Later; needs.bases.len()],
        images: std::collections::HashMap::new(),
    }
}
