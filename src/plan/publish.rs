//! Steps that publish an image.

use crate::config::{Image, Rule, RuleKind};
use crate::diagnostic::{Problem, Problems, Span};
use crate::facts::{Event, Scope};
use crate::plan::destination::repository_in;
use crate::plan::entering::is_of_stage;
use crate::plan::lower::{Lower, Made};
use crate::plan::permission::event_words;
use crate::plan::unit::{Channel, Job, channels};
use crate::plan::{Action, Definition, Effect, PushStep, RegistryPlace, RegistryPlan, Subject, TagStep};
use crate::tags::{Outcome, PlannedTag, evaluate};

impl Lower<'_> {
    pub(super) fn push(&mut self, at: usize, image: &Image, channel: usize) -> Made {
        let Some(registry) = self.registry(image, channel) else { return nothing() };
        let definition = define(&registry);
        let step = PushStep { image: self.place(at, Job::Index), registry };
        Made::new(Action::Push(Box::new(step)), definition, Effect::Publishing)
    }

    pub(super) fn tag(&mut self, at: usize, image: &Image, channel: usize) -> Made {
        let rules = self.rules(image, channel);
        let tagging = evaluate(self.release, self.facts, &rules);
        let tagging = tagging.map_err(|problems| self.told_once(problems)).unwrap_or_default();
        let Some(registry) = self.registry(image, channel) else { return nothing() };
        let promoted = self.selection.entering().promoted(image);
        let known = match promoted.and_then(|promoted| promoted.tags.as_ref()) {
            Some(tags) => tags.get(&registry.place.to_string()).cloned().unwrap_or_default(),
            None => tagging.tags,
        };
        let tags: Vec<PlannedTag> = known.into_iter().filter(|tag| !tag.local).collect();
        if tags.is_empty() {
            let reason = if promoted.is_some_and(|promoted| promoted.tags.is_some()) {
                "no tag is to be moved back there".to_owned()
            } else if image.tags.is_empty() {
                "the image has no `tags`".to_owned()
            } else {
                no_version(&self.facts.event, &tagging.outcomes).unwrap_or_else(|| {
                    format!("no rule of its `tags` is for {}", event_words(&self.facts.event))
                })
            };
            return Made::new(Action::Skip(reason), Definition::default(), Effect::Always);
        }
        let mut definition = define(&registry);
        for tag in &tags {
            definition.text(Subject::Setting(format!("tag {}", tag.tag)), tag.rule);
        }
        let step = TagStep { image: self.place(at, Job::Index), registry, tags };
        Made::new(Action::Tag(Box::new(step)), definition, Effect::Publishing)
    }

    /// What an image is called in the engine of this machine.
    pub(super) fn local_names(&mut self, image: &Image) -> Vec<(String, Span)> {
        let rules = image.tags.iter().filter(|rule| matches!(rule.kind, RuleKind::Local(_)));
        let rules: Vec<Rule> = rules.cloned().collect();
        if rules.is_empty() {
            return Vec::new();
        }
        let repository = Scope::new(self.release, self.facts).fill(&image.repository);
        let Some(repository) = self.problems.take(repository) else { return Vec::new() };
        match evaluate(self.release, self.facts, &rules) {
            Ok(tagging) => {
                let name = |tag: PlannedTag| (format!("{repository}:{}", tag.tag), tag.span);
                tagging.tags.into_iter().map(name).collect()
            }
            Err(problems) => {
                self.told_once(problems);
                Vec::new()
            }
        }
    }

    /// What is wrong with rules or places is wrong once, wherever they are asked.
    fn told_once(&mut self, problems: Problems) {
        let new = problems.into_iter().filter(|problem| !self.problems.as_slice().contains(problem));
        let new: Vec<Problem> = new.collect();
        self.problems.extend(new);
    }

    /// The rules that make the tags of an image in a registry: its own, and those of the
    /// stages that are entered. A stage with a registry of its own names images there.
    fn rules(&self, image: &Image, channel: usize) -> Vec<Rule> {
        let mut rules = image.tags.clone();
        let Some(channel) = channels(self.release, image).get(channel).copied() else { return rules };
        let entering = self.selection.entering();
        let stages = self.release.stages.values();
        let stages = stages.filter(|stage| {
            entering.enters(stage, &self.facts.event) && is_of_stage(self.release, stage, image)
        });
        for stage in stages {
            let here = match &stage.registry {
                Some(registry) => registry.value == channel.name,
                None => !channel.of_stages,
            };
            if here {
                rules.extend(stage.tags.iter().cloned());
            }
        }
        rules
    }

    /// The registries that builds of an image are shared through. What is wrong with one
    /// is told where something is published there.
    pub(super) fn shared_registries(&mut self, image: &Image) -> Vec<RegistryPlan> {
        if !self.release.cache.registry {
            return Vec::new();
        }
        let told = std::mem::take(&mut self.problems);
        let channels: Vec<usize> = (0..)
            .zip(channels(self.release, image))
            .filter(|(_, channel)| !channel.of_stages)
            .map(|(at, _)| at)
            .collect();
        let registries = channels.into_iter().filter_map(|channel| self.registry(image, channel));
        let registries = registries.filter(|registry| matches!(registry.place, RegistryPlace::Remote(_)));
        let registries = registries.collect();
        self.problems = told;
        registries
    }

    /// A registry with the repository of an image in it.
    pub(super) fn registry(&mut self, image: &Image, channel: usize) -> Option<RegistryPlan> {
        let Channel { name, .. } = *channels(self.release, image).get(channel)?;
        let place = repository_in(self.release, self.facts, image, name);
        place.map_err(|problem| self.told_once(problem.into())).ok()
    }
}

/// Why the rules that name versions yield nothing for a git tag, where there are some.
fn no_version(event: &Event, outcomes: &[Outcome]) -> Option<String> {
    let mut of_versions = outcomes.iter().filter(|outcome| outcome.rule == "semver");
    let reason = of_versions.find_map(Outcome::reason).filter(|_| matches!(event, Event::Tag(_)));
    reason.map(str::to_owned)
}

/// Stands for a step that cannot be made; its plan is refused.
pub(super) fn nothing() -> Made {
    Made::new(Action::Group, Definition::default(), Effect::Always)
}

pub(super) fn define(registry: &RegistryPlan) -> Definition {
    let place = registry.place.to_string();
    let mut definition = Definition::default();
    definition.text(Subject::Format, "publish 1");
    definition.text(Subject::Setting("repository".to_owned()), place);
    definition
}
