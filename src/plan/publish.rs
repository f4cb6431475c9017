//! Steps that publish an image.

use std::collections::BTreeMap;

use crate::config::{Image, Place, ProjectPath};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::Scope;
use crate::oci::RepositoryName;
use crate::plan::lower::{Lower, Made};
use crate::plan::permission::event_words;
use crate::plan::unit::{Channel, DEFAULT_REGISTRY, Job, channels};
use crate::plan::{
    Action, Definition, Effect, Plan, PushStep, RegistryPlace, RegistryPlan, Subject, TagStep,
};
use crate::tags::{PlannedTag, evaluate};

impl Lower<'_> {
    pub(super) fn push(&mut self, at: usize, image: &Image, channel: usize) -> Made {
        let Some(registry) = self.registry(image, channel) else { return nothing() };
        let definition = define(&registry);
        let step = PushStep { image: self.place(at, Job::Index), registry };
        Made::new(Action::Push(Box::new(step)), definition, Effect::Publishing)
    }

    pub(super) fn tag(&mut self, at: usize, image: &Image, channel: usize) -> Made {
        let tags = evaluate(self.release, self.facts, &image.tags).map(|tagging| tagging.tags);
        // What is wrong with the rules is wrong once, not in each registry.
        let known = match (channel, tags) {
            (0, tags) => self.problems.take(tags),
            (_, tags) => tags.ok(),
        };
        let tags: Vec<PlannedTag> = known.unwrap_or_default().into_iter().filter(|tag| !tag.local).collect();
        let Some(registry) = self.registry(image, channel) else { return nothing() };
        if tags.is_empty() {
            let reason = if image.tags.is_empty() {
                "the image has no `tags`".to_owned()
            } else {
                format!("no rule of its `tags` is for {}", event_words(&self.facts.event))
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

    /// A registry with the repository of an image in it.
    /// The registries that builds of an image are shared through. What is wrong with one
    /// is told where something is published there.
    pub(super) fn shared_registries(&mut self, image: &Image) -> Vec<RegistryPlan> {
        if !self.release.cache.registry {
            return Vec::new();
        }
        let told = std::mem::take(&mut self.problems);
        let channels = 0..channels(self.release, image).len();
        let registries = channels.filter_map(|channel| self.registry(image, channel));
        let registries = registries.filter(|registry| matches!(registry.place, RegistryPlace::Remote(_)));
        let registries = registries.collect();
        self.problems = told;
        registries
    }

    pub(super) fn registry(&mut self, image: &Image, channel: usize) -> Option<RegistryPlan> {
        let scope = Scope::new(self.release, self.facts);
        let repository = self.problems.take(scope.fill(&image.repository))?;
        let Channel { name, push } = *channels(self.release, image).get(channel)?;
        let declared = push.and_then(|push| self.release.registries.get(&push.registry.value));
        let layout = |directory: ProjectPath, repository: &str| match directory.join(repository) {
            Ok(path) if path != directory => Ok(RegistryPlace::Layout(path)),
            _ => Err(format!("`{repository}` is no path below a directory")),
        };
        let place = match declared.map(|registry| &registry.place) {
            Some(Place::Remote(host)) => {
                let host = self.problems.take(scope.fill(host))?;
                let name = format!("{}/{repository}", host.trim_end_matches('/'));
                match name.parse::<RepositoryName>() {
                    Ok(_) => Ok(RegistryPlace::Remote(name)),
                    Err(why) => Err(format!("`{name}`: {why}")),
                }
            }
            Some(Place::Layout(path)) => layout(path.clone(), &repository),
            None => layout(ProjectPath::root().join(DEFAULT_REGISTRY.1).unwrap_or_default(), &repository),
        };
        let place = match place {
            Ok(place) => place,
            Err(why) => {
                let title = format!("`{}` cannot be published to `{name}`", image.name.value);
                let problem = Problem::new(Code::InvalidReference, title).label(image.repository.span, why);
                self.problems.push(
                    problem.help("a repository is lower-case words joined by `/`, such as \"team/web\""),
                );
                return None;
            }
        };
        Some(match declared {
            Some(registry) => RegistryPlan::declared(&scope, registry, place),
            None => RegistryPlan::with_defaults(name, place),
        })
    }
}

/// Stands for a step that cannot be made; its plan is refused.
pub(super) fn nothing() -> Made {
    Made::new(Action::Group, Definition::default(), Effect::Always)
}

pub(super) fn define(registry: &RegistryPlan) -> Definition {
    let place = match &registry.place {
        RegistryPlace::Remote(name) => name.clone(),
        RegistryPlace::Layout(path) => format!("oci:{path}"),
    };
    let mut definition = Definition::default();
    definition.text(Subject::Format, "publish 1");
    definition.text(Subject::Setting("repository".to_owned()), place);
    definition
}

/// Tags that two images would fight over in one repository.
pub(super) fn shared_names(plan: &Plan) -> Problems {
    let mut holders: BTreeMap<String, (&str, &PlannedTag)> = BTreeMap::new();
    let mut problems = Problems::new();
    for step in &plan.steps {
        let Action::Tag(tagging) = &step.action else { continue };
        for tag in &tagging.tags {
            let place = match &tagging.registry.place {
                RegistryPlace::Remote(name) => name.clone(),
                RegistryPlace::Layout(path) => format!("oci:{path}"),
            };
            let name = format!("{place}:{}", tag.tag);
            let Some((other, first)) = holders.get(&name) else {
                holders.insert(name, (&step.id.owner, tag));
                continue;
            };
            if *other == step.id.owner {
                continue;
            }
            let title = format!("`{other}` and `{}` would both be `{name}`", step.id.owner);
            let problem = Problem::new(Code::TagCollision, title)
                .label(tag.span, format!("the tag of `{}`", step.id.owner))
                .label(first.span, format!("the tag of `{other}`"));
            problems.push(problem.help("give each image a `repository` or tags of its own"));
        }
    }
    problems
}
