//! What one build of a Dockerfile needs, as BuildKit works it out
//! (`frontend/dockerfile/dockerfile2llb`).

use std::collections::{BTreeSet, HashMap, HashSet};

use indexmap::IndexMap;

use crate::diagnostic::{Code, Problem, Problems, Span, Spanned, nearest};
use crate::dockerfile::chain::{self, Edges};
use crate::dockerfile::scope::Scope;
use crate::dockerfile::stage::MAX_PROBLEMS;
use crate::dockerfile::word::{Style, expand};
use crate::dockerfile::{
    Dockerfile, Effect, Feature, Instruction, Keyword, Stage, effect, feature, platform,
};
use crate::oci::{LATEST, Platform, Reference};

/// What is empty.
const SCRATCH: &str = "scratch";

/// One build of a Dockerfile.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The stage to build; the last one by default.
    pub target: Option<&'a str>,
    /// Values of build arguments.
    pub args: &'a IndexMap<String, String>,
    /// Names of the named contexts that the build is given, in any spelling.
    pub contexts: &'a [String],
    /// What the image is for.
    pub platform: &'a Platform,
    /// What the builder runs on.
    pub builder: &'a Platform,
}

/// What a build needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The stage that is built.
    pub target: usize,
    /// Where its name stands, if it has one.
    pub name: Option<Span>,
    /// It, and all stages that it needs, in the order of the file.
    pub stages: Vec<usize>,
    /// Images that registries have, each once, in the order of the file.
    pub bases: Vec<ExternalBase>,
    /// Named contexts that are used, by the name that the request gives them, each
    /// once; the place is where the Dockerfile names it first.
    pub contexts: Vec<Spanned<String>>,
    /// Where each name of the needed stages leads: the reference of a `FROM`, or the
    /// flag of a `COPY` or a `RUN`, in the order of the file.
    pub origins: Vec<(Span, Origin)>,
    /// What the stage sets of the configuration of the image.
    pub effect: Effect,
    /// What a classic builder cannot do, in the order of the file.
    pub features: Vec<Feature>,
}

/// An image that is not made by this Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalBase {
    /// Which one, and the place that names it.
    pub reference: Spanned<Reference>,
    /// The platform that it is needed for.
    pub platform: Platform,
}

/// Where a stage, a copy, or a mount takes its files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Another stage.
    Stage(usize),
    /// Nothing.
    Scratch,
    /// A named context of the request.
    Context(String),
    /// An image, for a platform.
    Image(Reference, Platform),
}

/// The origins of a stage, each with the place that names it.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) base: (Origin, Span),
    copies: Vec<(Origin, Span)>,
    /// Whether a context stands in for all of the stage.
    pub(super) is_replaced: bool,
}

impl Links {
    fn all(&self) -> impl Iterator<Item = &(Origin, Span)> {
        std::iter::once(&self.base).chain(&self.copies)
    }
}

/// The name of a context, or of an image that one stands in for, in the spelling in
/// which they are compared: `docker.io/library/alpine:latest` is `alpine`. What is no
/// reference is itself.
#[must_use]
pub fn context_name(text: &str) -> String {
    let Ok(reference) = text.parse::<Reference>() else { return text.to_owned() };
    let name = reference.repository.to_string();
    let name = name.strip_prefix("docker.io/").unwrap_or(&name);
    let mut name = name.strip_prefix("library/").unwrap_or(name).to_owned();
    let tag = reference.tag.map(|tag| tag.to_string());
    let only = reference.digest.is_none();
    name.extend(tag.filter(|tag| !(only && tag == LATEST)).map(|tag| format!(":{tag}")));
    name.extend(reference.digest.map(|digest| format!("@{digest}")));
    name
}

impl Dockerfile {
    /// What a build of it needs.
    ///
    /// # Errors
    /// All that is wrong, in stages that are not needed as well, as BuildKit does: a
    /// word that cannot be expanded ([`Code::InvalidInstruction`]), no reference
    /// ([`Code::InvalidReference`]), no platform ([`Code::InvalidPlatform`]), a stage
    /// that is not there ([`Code::UnknownStage`]), stages that need each other
    /// ([`Code::Cycle`]).
    pub fn resolve(&self, request: &Request<'_>) -> Result<Resolved, Problems> {
        let mut problems = Problems::new();
        let scope = self.global_scope(request, &mut problems);
        let links = Linker::of(self, request, &scope, &mut problems).links();
        let target = problems.take(self.target(request.target));
        let (Some(links), Some(target)) = (links, target) else { return Err(problems) };
        let edges: Edges = links.iter().map(stages_of).collect();
        if let Some(cycle) = chain::cycle(&edges) {
            problems.push(self.cyclic(&cycle));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let stages = chain::needed(&edges, target);
        let mut bases = Vec::new();
        let mut contexts = Vec::new();
        let mut seen = HashSet::new();
        for (origin, span) in stages.iter().filter_map(|stage| links.get(*stage)).flat_map(Links::all) {
            match origin {
                Origin::Image(reference, platform)
                    if seen.insert((reference.to_string(), platform.to_string())) =>
                {
                    let reference = Spanned::new(reference.clone(), *span);
                    bases.push(ExternalBase { reference, platform: platform.clone() });
                }
                Origin::Context(name) if seen.insert((name.clone(), String::new())) => {
                    contexts.push(Spanned::new(name.clone(), *span));
                }
                _ => {}
            }
        }
        let linked = stages.iter().filter_map(|stage| links.get(*stage)).flat_map(Links::all);
        let mut origins: Vec<_> = linked.map(|(origin, span)| (*span, origin.clone())).collect();
        origins.sort_by_key(|(span, _)| *span);
        let effect = effect::of(self, target, &links, request, &scope, &mut problems);
        let features = feature::all(self, &stages, &contexts);
        let name = self.stages.get(target).and_then(|stage| Some(stage.name.as_ref()?.span));
        let name = name.filter(|_| request.target.is_some());
        problems.or(Resolved { target, name, stages, bases, contexts, origins, effect, features })
    }

    /// The arguments before the first `FROM`, with those that each build has.
    fn global_scope(&self, request: &Request<'_>, problems: &mut Problems) -> Scope {
        let given = |name: &str| request.args.get(name).cloned();
        let automatic = platform::automatic(request).into_iter();
        let mut scope: Scope = automatic.map(|(name, value)| (name, given(name).unwrap_or(value))).collect();
        let arguments = self.globals.iter().filter(|global| global.keyword.value == Keyword::Arg);
        for argument in arguments.flat_map(|global| &global.arguments) {
            let (name, default) =
                argument.split_once('=').map_or((argument.as_str(), None), |(n, v)| (n, Some(v)));
            let value = match (given(name), default) {
                (Some(given), _) => Ok(Some(given)),
                (None, Some(default)) => {
                    expand(default, &scope, Style::plain(self.escape())).map(|it| Some(it.text))
                }
                (None, None) => Ok(None),
            };
            let set = value.and_then(|value| value.map_or(Ok(()), |value| scope.set(name, value)));
            if let Err(error) = set {
                problems.push(not_expanded(argument, &error));
                // What follows may be wrong for that alone.
                break;
            }
        }
        scope
    }

    fn target(&self, name: Option<&str>) -> Result<usize, Problem> {
        let last = self.stages.len().saturating_sub(1);
        let Some(name) = name else { return Ok(last) };
        let lower = name.to_lowercase();
        let names = || self.stages.iter().filter_map(|stage| stage.name.as_ref());
        let found =
            self.stages.iter().rposition(|stage| stage.name.as_ref().is_some_and(|it| it.value == lower));
        found.ok_or_else(|| {
            let near = nearest(&lower, names().map(|name| name.as_str()));
            let all: Vec<String> = names().map(|name| format!("`{}`", name.value)).collect();
            let help = match all.as_slice() {
                [] => "no stage of it has a name: `FROM image AS name` gives one".to_owned(),
                all => format!("it has {}", all.join(", ")),
            };
            let problem = Problem::new(Code::UnknownStage, format!("the Dockerfile has no stage `{name}`"));
            let span = self.stages.last().map(|stage| stage.span);
            let problem =
                span.into_iter().fold(problem, |problem, span| problem.label(span, "the last stage"));
            problem.help(help).maybe_help(near.map(|near| format!("did you mean `{near}`?")))
        })
    }

    /// How a stage is called in messages.
    fn shown(&self, stage: usize) -> String {
        let name = self.stages.get(stage).and_then(|stage| stage.name.as_ref());
        name.map_or_else(|| stage.to_string(), |name| name.value.clone())
    }

    fn cyclic(&self, cycle: &[(usize, Span)]) -> Problem {
        let names: Vec<String> = cycle.iter().map(|(stage, _)| format!("`{}`", self.shown(*stage))).collect();
        let title = match names.as_slice() {
            [alone] => format!("the stage {alone} copies from itself"),
            names => format!("the stages {} need each other", names.join(", ")),
        };
        let problem = Problem::new(Code::Cycle, title).help("move what both need into a stage of its own");
        // The way is told by its first places: thousands of them help nobody.
        let told = cycle.iter().take(8);
        told.fold(problem, |problem, (stage, span)| {
            problem.label(*span, format!("needed by `{}`", self.shown(*stage)))
        })
    }
}

/// The stages that links lead to.
fn stages_of(links: &Links) -> Vec<(usize, Span)> {
    let stage = |(origin, span): &(Origin, Span)| match origin {
        Origin::Stage(stage) => Some((*stage, *span)),
        _ => None,
    };
    links.all().filter_map(stage).collect()
}

pub(super) fn not_expanded(word: &Spanned<String>, why: &impl ToString) -> Problem {
    Problem::new(Code::InvalidInstruction, format!("`{}` cannot be filled in", word.value))
        .label(word.span, why.to_string())
        .help("`$X`, `${X}`, `${X:-default}`, and `\\$` for a dollar sign")
}

/// Finds out where names lead.
struct Linker<'a, 'p> {
    file: &'a Dockerfile,
    request: &'a Request<'a>,
    scope: &'a Scope,
    problems: &'p mut Problems,
    /// Each spelling of a context that is compared, and the one that it was given.
    contexts: HashMap<String, &'a str>,
}

impl<'a, 'p> Linker<'a, 'p> {
    fn of(
        file: &'a Dockerfile,
        request: &'a Request<'a>,
        scope: &'a Scope,
        problems: &'p mut Problems,
    ) -> Self {
        let contexts = request.contexts.iter().map(|name| (context_name(name), name.as_str())).collect();
        Self { file, request, scope, problems, contexts }
    }

    fn context(&self, name: &str) -> Option<Origin> {
        let name = self.contexts.get(&context_name(name))?;
        Some(Origin::Context((*name).to_owned()))
    }

    /// The links of all stages; `None` if some lead nowhere.
    fn links(mut self) -> Option<Vec<Links>> {
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut bases = Vec::new();
        for (stage, at) in self.file.stages.iter().zip(0..) {
            if self.problems.as_slice().len() >= MAX_PROBLEMS {
                return None;
            }
            bases.push(self.base(stage, &names));
            names.extend(stage.name.as_ref().map(|name| (name.as_str(), at)));
        }
        let mut links = Vec::new();
        for (stage, base) in self.file.stages.iter().zip(&bases) {
            let span = stage.from.span;
            let Some(base) = base.clone() else { continue };
            // A context in the place of a stage has nothing of it but the name.
            let is_replaced = stage.name.as_ref().is_some_and(|name| self.context(name).is_some());
            let below = match base {
                Origin::Stage(below) => self.file.stages.get(below),
                _ => None,
            };
            let triggers = below.into_iter().flat_map(|below| &below.instructions);
            let triggers = triggers.filter_map(|instruction| instruction.trigger.as_deref());
            let instructions = triggers.chain(stage.instructions.iter().filter(|_| !is_replaced));
            let copies = instructions.flat_map(|instruction| self.copies(instruction, &names)).collect();
            links.push(Links { base: (base, span), copies, is_replaced });
        }
        (self.problems.is_empty() && links.len() == bases.len()).then_some(links)
    }

    fn base(&mut self, stage: &Stage, names: &HashMap<&str, usize>) -> Option<Origin> {
        let style = Style::plain(self.file.escape());
        let mut fill = |word: &Spanned<String>| {
            let filled = expand(word, self.scope, style).map_err(|error| not_expanded(word, &error));
            self.problems.take(filled).map(|filled| filled.text)
        };
        let from = fill(&stage.from);
        let platform = stage.platform.as_ref().map(|platform| (platform, fill(platform)));
        let platform = match platform {
            None => Some(self.request.platform.clone()),
            Some((_, None)) => None,
            Some((written, Some(text))) => platform::parse(&text, self.request.builder).or_else(|| {
                let problem = Problem::new(Code::InvalidPlatform, format!("`{text}` is not a platform"));
                let help = "it is `os/architecture`, such as `linux/amd64`, or `$BUILDPLATFORM`";
                self.problems.push(problem.label(written.span, "given here").help(help));
                None
            }),
        };
        if let Some(context) = stage.name.as_ref().and_then(|name| self.context(name)) {
            return Some(context);
        }
        let from = from?;
        if from.is_empty() {
            let problem = Problem::new(Code::InvalidReference, format!("`{}` is empty", stage.from.value));
            let help = "give its `ARG` before the first `FROM` a default, or the build an `arg`";
            self.problems.push(problem.label(stage.from.span, "names no image").help(help));
            return None;
        }
        if let Some(at) = names.get(from.as_str()) {
            return Some(Origin::Stage(*at));
        }
        self.image(&from, stage.from.span, platform?)
    }

    /// A context, nothing, or an image.
    fn image(&mut self, name: &str, span: Span, platform: Platform) -> Option<Origin> {
        if name == SCRATCH {
            return Some(Origin::Scratch);
        }
        if let Some(context) = self.context(name) {
            return Some(context);
        }
        let reference = name.parse::<Reference>().map_err(|error| {
            let lower = name.to_lowercase();
            let stage =
                self.file.stages.iter().filter_map(|stage| stage.name.as_ref()).find(|it| it.value == lower);
            Problem::new(Code::InvalidReference, format!("`{name}` is neither a stage nor an image"))
                .label(span, error.to_string())
                .help("correct its name, or write `AS` and the name behind the `FROM` of a stage")
                .maybe_help(stage.map(|stage| format!("the stage is called `{}`", stage.value)))
        });
        self.problems.take(reference).map(|reference| Origin::Image(reference, platform))
    }

    /// What an instruction takes files from.
    fn copies(&mut self, instruction: &Instruction, names: &HashMap<&str, usize>) -> Vec<(Origin, Span)> {
        let by_index = instruction.keyword.value == Keyword::Copy;
        let wanted: BTreeSet<(Span, String)> = match instruction.keyword.value {
            Keyword::Copy => instruction
                .flag("from")
                .into_iter()
                .filter_map(|flag| Some((flag.span, flag.value.clone()?)))
                .collect(),
            Keyword::Run => {
                let mounts = instruction.flags.iter().filter(|flag| flag.name == "mount");
                mounts.filter_map(|flag| Some((flag.span, flag.field("from")?.to_owned()))).collect()
            }
            _ => return Vec::new(),
        };
        let few = self.problems.as_slice().len() < MAX_PROBLEMS;
        let wanted = wanted.into_iter().filter(|(_, name)| few && !name.is_empty());
        wanted.filter_map(|(span, name)| Some((self.origin(&name, span, names, by_index)?, span))).collect()
    }

    fn origin(
        &mut self,
        name: &str,
        span: Span,
        names: &HashMap<&str, usize>,
        by_index: bool,
    ) -> Option<Origin> {
        if name.contains('$') {
            let problem = Problem::new(Code::InvalidInstruction, format!("`{name}` is not filled in here"));
            let help = format!("write `FROM {name} AS other` for a stage of its own, and name that");
            self.problems.push(problem.label(span, "no variables in `from`").help(help));
            return None;
        }
        if let Some(at) = names.get(name.to_lowercase().as_str()) {
            return Some(Origin::Stage(*at));
        }
        let count = self.file.stages.len();
        match name.parse::<i64>().ok().filter(|_| by_index).map(usize::try_from) {
            Some(Ok(at)) if at < count => Some(Origin::Stage(at)),
            Some(_) => {
                let problem = Problem::new(Code::UnknownStage, format!("there is no stage {name}"));
                let help = format!("the stages are counted from 0 to {}", count.saturating_sub(1));
                self.problems.push(problem.label(span, "by its number").help(help));
                None
            }
            None => self.image(name, span, self.request.platform.clone()),
        }
    }
}
