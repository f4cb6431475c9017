//! Whether this run publishes, and if not, why.

use crate::config::{Image, Push, Release, Stage};
use crate::diagnostic::{Code, Problem, Span};
use crate::facts::{Event, EventSource, Facts};
use crate::plan::Options;
use crate::plan::entering::{Entering, is_of_stage};
use crate::plan::select::is_spared;
use crate::plan::unit::{Channel, Unit, channels};

/// What the event and the tree allow to be published.
pub(super) struct Publishing<'a> {
    release: &'a Release,
    facts: &'a Facts,
    entering: &'a Entering,
    /// Why nothing at all is published.
    forbidden: Option<Forbidden>,
}

/// A reason to publish nothing.
#[derive(Clone, Copy)]
enum Forbidden {
    Dirty,
    Unnamed,
}

impl Forbidden {
    const fn why(self) -> &'static str {
        match self {
            Self::Dirty => "tracked files differ from the commit",
            Self::Unnamed => "neither a branch nor a tag names the commit",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Dirty => "commit the changes, or type `--allow-dirty`",
            Self::Unnamed => "name the event: `--event branch=main`, or `--event tag=v1.2.3`",
        }
    }
}

impl<'a> Publishing<'a> {
    pub(super) fn new(
        release: &'a Release,
        facts: &'a Facts,
        entering: &'a Entering,
        options: Options,
    ) -> Self {
        let dirty = facts.git.as_ref().is_some_and(|git| git.dirty);
        let forbidden = match facts.event {
            Event::Unnamed => Some(Forbidden::Unnamed),
            _ if dirty && !options.allow_dirty => Some(Forbidden::Dirty),
            _ => None,
        };
        Self { release, facts, entering, forbidden }
    }

    /// Whether a step that changes what others see takes place. Others always do.
    pub(super) fn allows(&self, unit: Unit) -> bool {
        match unit {
            Unit::Image { .. } if is_spared(self.release, self.entering, unit) => false,
            Unit::Image { image, job } => job.channel().is_none_or(|at| {
                let image = &self.release.images[image];
                let channel = channels(self.release, image).get(at).copied();
                let takes = |channel: Channel<'_>| {
                    if channel.of_stages {
                        self.goes_along(image, channel.name)
                    } else {
                        self.takes(channel.push)
                    }
                };
                self.forbidden.is_none() && channel.is_some_and(takes)
            }),
            Unit::Stage { stage, .. } => self.forbidden.is_none() && self.enters(&self.release.stages[stage]),
            Unit::Target { .. } => true,
        }
    }

    /// Whether a `push` is for this kind of event.
    fn takes(&self, push: Option<&Push>) -> bool {
        let kind = self.facts.event.kind();
        match push.filter(|push| !push.on.is_empty()) {
            Some(push) => push.on.iter().any(|on| on == kind),
            None => usually_publishes(kind),
        }
    }

    /// Whether an image goes to the registry of a stage that is entered.
    fn goes_along(&self, image: &Image, registry: &str) -> bool {
        let named = |stage: &&Stage| stage.registry.as_ref().is_some_and(|name| name.value == registry);
        let mut stages = self.release.stages.values().filter(named);
        stages.any(|stage| is_of_stage(self.release, stage, image) && self.enters(stage))
    }

    fn enters(&self, stage: &Stage) -> bool {
        self.entering.enters(stage, &self.facts.event)
    }

    /// Why images are not published, in words that follow `not published: `.
    pub(super) fn why(&self) -> String {
        match self.forbidden {
            Some(forbidden) => forbidden.why().to_owned(),
            None => format!("no `push` is for {}", event_words(&self.facts.event)),
        }
    }

    /// The refusal of a release whose event should publish and whose tree forbids
    /// it, where nobody is there to read why nothing was published.
    pub(super) fn refusal(&self) -> Option<Problem> {
        let unattended = matches!(self.facts.event_source, EventSource::Ci(_));
        let publishes = matches!(self.facts.event, Event::Tag(_) | Event::Branch(_) | Event::Schedule);
        let forbidden =
            self.forbidden.filter(|why| matches!(why, Forbidden::Dirty) && unattended && publishes)?;
        let title = format!("the images cannot be published: {}", forbidden.why());
        let problem = Problem::new(Code::NotPublishable, title).help(forbidden.help());
        Some(problem.note("a build in CI starts from a clean checkout: see what changed with `git status`"))
    }

    /// That a step which was asked for does not take place.
    pub(super) fn refuse(&self, unit: Unit, name: &str, asked: Span) -> Problem {
        let push = match unit {
            Unit::Image { image, job } => {
                let channels = channels(self.release, &self.release.images[image]);
                job.channel().and_then(|at| channels.get(at)).and_then(|channel| channel.push)
            }
            Unit::Target { .. } | Unit::Stage { .. } => None,
        };
        let why = self.forbidden.map_or_else(
            || format!("it is not for {}", event_words(&self.facts.event)),
            |why| why.why().to_owned(),
        );
        let problem = Problem::new(Code::NotPublishable, format!("`{name}` cannot be published: {why}"));
        let problem = problem.label(asked, "asked for here");
        match (self.forbidden, push) {
            (Some(forbidden), _) => problem.help(forbidden.help()),
            (None, Some(push)) => problem.label(push.registry.span, "declared here").help(format!(
                "write `push \"{}\" on=\"{}\"`",
                push.registry.value,
                self.facts.event.kind()
            )),
            (None, None) => problem.help("declare in `on` which event it is for, or give one with `--event`"),
        }
    }
}

/// Whether images are published for a kind of event where `push` does not say for which.
pub(super) fn usually_publishes(kind: &str) -> bool {
    ["tag", "branch", "schedule"].contains(&kind)
}

/// What a run is for, in a sentence.
pub(super) const fn event_words(event: &Event) -> &'static str {
    match event {
        Event::Tag(_) => "a tag",
        Event::Branch(_) => "a branch",
        Event::PullRequest(_) => "a pull request",
        Event::Schedule => "a schedule",
        Event::Unnamed => "a commit without a name",
    }
}
