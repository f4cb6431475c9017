//! Which stages a run enters, and with which images.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{EventPattern, Image, Release, RuleKind, Stage};
use crate::diagnostic::{Code, Problem, Spanned};
use crate::facts::{Event, Facts, version_of};
use crate::oci::Descriptor;
use crate::plan::RegistryPlan;
use crate::plan::name::glob_matches;
use crate::tags::{PlannedTag, is_for_tag, names_tag};

/// What is known of stages before a run is planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entering {
    /// The only stage that is entered, by hand; where it is none, the event says which
    /// are.
    pub by_hand: Option<String>,
    /// Stages that the event would enter, and that stay as they are.
    pub passed_over: BTreeSet<String>,
    /// The images that are taken from a stage, and not built, by their names.
    pub promoted: BTreeMap<String, Promoted>,
}

/// An image that is there, and enters a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Promoted {
    /// Its index or manifest; none where a plan is only looked at, and it is not known.
    pub image: Option<Descriptor>,
    /// Where it is.
    pub sources: Vec<RegistryPlan>,
    /// The tests that it passed when it was made.
    pub tests: Vec<String>,
    /// The tags that it gets, by the place, in the order in which they become visible;
    /// where it is none, the rules of the file say which.
    pub tags: Option<BTreeMap<String, Vec<PlannedTag>>>,
    /// A tag of it that never moves, by the place.
    pub stays: BTreeMap<String, String>,
}

/// The stages that an event enters, in the order of their declaration.
pub fn entered<'a>(release: &'a Release, event: &Event) -> impl Iterator<Item = &'a Stage> {
    release.stages.values().filter(|stage| enters(stage, event))
}

/// Whether an event enters a stage.
pub(super) fn enters(stage: &Stage, event: &Event) -> bool {
    stage.on.iter().any(|on| match (&on.value, event) {
        (EventPattern::Branch(glob), Event::Branch(name)) | (EventPattern::Tag(glob), Event::Tag(name)) => {
            glob_matches(glob, name)
        }
        (EventPattern::PullRequest, Event::PullRequest(_)) | (EventPattern::Schedule, Event::Schedule) => {
            true
        }
        _ => false,
    })
}

impl Entering {
    /// Whether a stage is entered, as far as the event is concerned.
    pub(super) fn enters(&self, stage: &Stage, event: &Event) -> bool {
        let name = &stage.name.value;
        let of_event = || enters(stage, event) && !self.passed_over.contains(name);
        self.by_hand.as_ref().map_or_else(of_event, |by_hand| by_hand == name)
    }

    /// What is taken for an image, if it is not built.
    pub(super) fn promoted(&self, image: &Image) -> Option<&Promoted> {
        self.promoted.get(&image.name.value)
    }
}

/// That a git tag which is no version would enter a stage that is for versions: its pattern
/// lets these in, too, and its images have names of them, and none that is for such a tag. The
/// tag was spelled wrongly, or is for something else. Where the pattern lets every tag in, any
/// name does that needs no version.
#[must_use]
pub fn no_version(release: &Release, facts: &Facts, stage: &Stage) -> Option<Problem> {
    let Event::Tag(name) = &facts.event else { return None };
    if version_of(name, release).is_some() {
        return None;
    }
    let lets_in = |name: &str| {
        let takes = move |on: &&Spanned<EventPattern>| matches!(&on.value, EventPattern::Tag(glob) if glob_matches(glob, name));
        stage.on.iter().find(takes)
    };
    let on = lets_in(name)?;
    let lets_all_in = stage.on.iter().any(|on| matches!(&on.value, EventPattern::Tag(glob) if is_any(glob)));
    let (image, versions) = images_of_stage(release, stage).find_map(|(_, image)| {
        let mut rules = image.tags.iter().chain(&stage.tags);
        let versions = rules.clone().find(|rule| match &rule.kind {
            RuleKind::Semver { prefix, .. } => {
                let prefix = prefix.as_ref().map_or("v", |prefix| &prefix.value);
                lets_in(&format!("{prefix}1.2.3")).is_some()
            }
            _ => false,
        })?;
        let names = |rule| if lets_all_in { names_tag(rule, facts) } else { is_for_tag(rule, facts) };
        (!rules.any(names)).then_some((image, versions))
    })?;
    let title = format!(
        "`{name}` is no version, and would enter `{}`, where `{}` is named by its version",
        stage.name.value, image.name.value
    );
    let problem = Problem::new(Code::NotPublishable, title)
        .label(on.span, "the git tag matches this")
        .label(versions.span, "names versions");
    Some(problem.help(
        "let fewer tags enter it, as `on tag=\"v*.*.*\"`; or write a rule that is for such tags, as `raw \"{tag}\" on=\"tag\"`",
    ))
}

/// Whether a pattern of names is for all of them.
fn is_any(glob: &str) -> bool {
    !glob.is_empty() && glob.bytes().all(|byte| byte == b'*')
}

/// The images of a stage, in the order of their declaration.
pub fn images_of_stage<'a>(
    release: &'a Release,
    stage: &'a Stage,
) -> impl Iterator<Item = (usize, &'a Image)> {
    release.images.values().enumerate().filter(move |(_, image)| is_of_stage(release, stage, image))
}

/// Whether an image is one of a stage: it names it, or it names none, and the image is
/// published, as all are where the file declares no registry.
#[must_use]
pub fn is_of_stage(release: &Release, stage: &Stage, image: &Image) -> bool {
    if stage.images.is_empty() {
        return release.registries.is_empty() || !image.push.is_empty();
    }
    stage.images.iter().any(|name| name.value == image.name.value)
}

/// The tests that an image has to pass, by their names.
#[must_use]
pub fn tests_of(image: &Image) -> Vec<String> {
    let tests = image.tests.iter().map(|test| test.name.value.clone());
    let expects = (!image.expects.is_empty()).then(|| "expect".to_owned());
    tests.chain(expects).collect()
}
