//! What a build from nothing would make, worked out without building.

use std::cell::RefCell;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};

use crate::project::{Out, Project, Target, Use};
use crate::tree::{Got, Node, Tree};

/// A target with one value of its matrix.
pub(crate) type Step = (String, Option<&'static str>);

/// What became of a step.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It succeeded, and made these.
    Good(Tree),
    /// Its script fails.
    Fails,
    /// It needs something that fails.
    Blocked,
}

/// A project in one state of its files and of the environment.
pub(crate) struct Oracle<'a> {
    pub(crate) project: &'a Project,
    pub(crate) sources: &'a Tree,
    /// Values of the variables `V0`, `V1`, … of the environment.
    pub(crate) environment: &'a BTreeMap<String, String>,
    known: RefCell<BTreeMap<Step, Fate>>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(
        project: &'a Project,
        sources: &'a Tree,
        environment: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { project, sources, environment, known: RefCell::default() }
    }

    /// All steps of some targets, what these need, and what runs after them.
    pub(crate) fn closure(&self, goals: &[String]) -> BTreeSet<Step> {
        let goals = goals.iter().flat_map(|goal| self.steps(goal)).collect();
        reachable(goals, |step| self.needs(step).into_iter().chain(self.after(step)).collect())
    }

    /// The same if each condition held.
    pub(crate) fn declared(&self, goals: &[String]) -> BTreeSet<Step> {
        let goals = goals.iter().flat_map(|goal| self.steps(goal)).collect();
        let next = |step: &Step| {
            let after = self.project.target(&step.0).finally.iter().flat_map(|name| self.steps(name));
            self.declared_needs(step).into_iter().chain(after).collect()
        };
        reachable(goals, next)
    }

    /// Of some steps, those that run whatever happens, and what these need. One that
    /// needs what it runs after is none of them: that may not have begun.
    pub(crate) fn essential(&self, steps: &BTreeSet<Step>) -> BTreeSet<Step> {
        let ends = |one: &Step, other: &Step| steps.contains(other) && self.after(other).contains(one);
        let after = steps.iter().flat_map(|step| self.after(step)).collect();
        let needs = |step: &Step| self.needs(step).into_iter().filter(|need| !ends(step, need)).collect();
        let mut all = reachable(after, needs);
        loop {
            let met = |step: &&Step| self.needs(step).is_subset(&all);
            let fewer: BTreeSet<Step> = all.iter().filter(met).cloned().collect();
            if fewer == all {
                return all;
            }
            all = fewer;
        }
    }

    /// Whether its condition does not hold.
    pub(crate) fn is_skipped(&self, step: &Step) -> bool {
        let set = |var: usize| self.environment.contains_key(&format!("V{var}"));
        self.project.target(&step.0).when.is_some_and(|var| !set(var))
    }

    /// The steps that run after a step.
    fn after(&self, step: &Step) -> Vec<Step> {
        let names = &self.project.target(&step.0).finally;
        let names = names.iter().filter(|_| !self.is_skipped(step));
        names.flat_map(|name| self.steps(name)).collect()
    }

    fn steps(&self, name: &str) -> impl Iterator<Item = Step> {
        let values = self.project.target(name).values();
        values.iter().map(move |value| (name.to_owned(), *value)).collect::<Vec<_>>().into_iter()
    }

    /// Whether an input is named that nobody makes, so that there is no plan.
    pub(crate) fn lacks_an_input(&self, steps: &BTreeSet<Step>) -> bool {
        let declared = |target: &Target| target.runs && target.cacheable;
        let targets = steps.iter().map(|(name, _)| self.project.target(name)).filter(|it| declared(it));
        targets.into_iter().any(|target| {
            let named = target.uses.iter().any(|it| match it {
                Use::Cat(path) | Use::First(path) | Use::Mode(path) | Use::Refuse(path) => {
                    self.maker(path).is_none()
                        && !self.sources.0.contains_key(path)
                        && !self.sources.is_directory(path)
                }
                Use::Glob(_) | Use::Deep(_) => false,
            });
            let wild = target.uses.iter().all(|it| matches!(it, Use::Glob(_) | Use::Deep(_)));
            let nothing = |it: &Use| self.matched(it).is_empty() && self.makers(it).is_empty();
            named || (wild && target.uses.iter().all(nothing))
        })
    }

    /// The step that makes a path, or a directory that holds it.
    pub(crate) fn maker(&self, path: &str) -> Option<Step> {
        self.project.targets.iter().find_map(|target| {
            let makes = |value: Option<&'static str>| {
                target.path(value).is_some_and(|made| {
                    path == made || path.strip_prefix(&made).is_some_and(|below| below.starts_with('/'))
                })
            };
            target
                .values()
                .iter()
                .copied()
                .find(|value| makes(*value))
                .map(|value| (target.name.clone(), value))
        })
    }

    /// The steps that make something that is read.
    fn makers(&self, it: &Use) -> Vec<Step> {
        match it {
            Use::Cat(path) | Use::First(path) | Use::Mode(path) | Use::Refuse(path) => {
                self.maker(path).into_iter().collect()
            }
            Use::Glob(directory) => {
                let targets = self.project.targets.iter();
                let steps =
                    targets.flat_map(|target| target.values().iter().map(move |value| (target, *value)));
                let makes = |target: &Target, value: Option<&str>| {
                    target.path(value).is_some_and(|made| {
                        made == *directory
                            || (made.ends_with(".txt")
                                && made.rsplit_once('/').is_some_and(|(above, _)| above == directory))
                    })
                };
                steps
                    .filter(|(target, value)| makes(target, *value))
                    .map(|(target, value)| (target.name.clone(), value))
                    .collect()
            }
            Use::Deep(_) => Vec::new(),
        }
    }

    /// The steps that a step needs.
    pub(crate) fn needs(&self, step: &Step) -> BTreeSet<Step> {
        if self.is_skipped(step) { BTreeSet::new() } else { self.declared_needs(step) }
    }

    fn declared_needs(&self, step: &Step) -> BTreeSet<Step> {
        let target = self.project.target(&step.0);
        let named = target.needs.iter().flat_map(|name| self.steps(name));
        let read: Vec<Step> = if target.runs && target.cacheable {
            target.uses.iter().flat_map(|it| self.makers(it)).collect()
        } else {
            Vec::new()
        };
        named.chain(read).collect()
    }

    /// What becomes of a step.
    pub(crate) fn fate(&self, step: &Step) -> Fate {
        if let Some(fate) = self.known.borrow().get(step) {
            return fate.clone();
        }
        let target = self.project.target(&step.0);
        let good = self.needs(step).iter().all(|need| matches!(self.fate(need), Fate::Good(_)));
        let fate = match (good, target.runs && !self.is_skipped(step)) {
            (false, _) => Fate::Blocked,
            (true, false) => Fate::Good(Tree::default()),
            (true, true) => self.run(target, step.1).map_or(Fate::Fails, Fate::Good),
        };
        self.known.borrow_mut().insert(step.clone(), fate.clone());
        fate
    }

    /// All files that may be read: those written by hand, and those made by what
    /// the uses name.
    fn world(&self, target: &Target) -> Tree {
        let mut world = self.sources.clone();
        for step in target.uses.iter().flat_map(|it| self.makers(it)) {
            if let Fate::Good(made) = self.fate(&step) {
                world.0.extend(made.0);
            }
        }
        world
    }

    /// Works the script out; `None` where it fails.
    fn run(&self, target: &Target, value: Option<&str>) -> Option<Tree> {
        let world = self.world(target);
        let mut text = String::new();
        for it in &target.uses {
            text.push_str(&read(&world, it)?);
        }
        for var in &target.vars {
            let value = self.environment.get(&format!("V{var}")).unwrap_or(&self.project.vars[*var]);
            text.push_str(&format!("{value}\n"));
        }
        for more in [target.env.as_deref(), value].into_iter().flatten() {
            text.push_str(&format!("{more}\n"));
        }
        text.push_str(&format!("{}\n", target.salt));
        let mut made = Tree::default();
        let Some(path) = target.path(value) else { return Some(made) };
        match target.out? {
            Out::File | Out::Mixed => drop(made.0.insert(path, Node::file(text))),
            Out::Executable => drop(made.0.insert(path, Node::File { text, executable: true })),
            Out::Link => {
                let short: String = text.chars().filter(|c| !"\n/".contains(*c)).take(9).collect();
                made.0.insert(path, Node::Link(format!("to-{short}")));
            }
            Out::Directory => {
                made.0.insert(format!("{path}/all"), Node::file(text));
                for it in target.uses.iter().filter(|it| matches!(it, Use::Glob(_))) {
                    for from in listed(&world, it) {
                        if let Got::File { text, .. } = world.get(&from) {
                            let name = from.rsplit('/').next().unwrap_or_default();
                            made.0.insert(format!("{path}/{name}"), Node::file(text));
                        }
                    }
                }
            }
        }
        Some(made)
    }

    /// The files written by hand that a use declares, with what links lead to.
    fn matched(&self, it: &Use) -> Vec<(String, Node)> {
        let below = |path: &str| {
            let below = format!("{path}/");
            let nodes =
                self.sources.0.iter().filter(|(other, _)| *other == path || other.starts_with(&below));
            nodes.map(|(path, node)| (path.clone(), node.clone())).collect::<Vec<_>>()
        };
        let mut found: Vec<(String, Node)> = match it {
            Use::Cat(path) | Use::First(path) | Use::Mode(path) | Use::Refuse(path) => below(path),
            Use::Glob(_) | Use::Deep(_) => {
                let node = |path: String| Some((path.clone(), self.sources.0.get(&path)?.clone()));
                listed(self.sources, it).into_iter().filter_map(node).collect()
            }
        };
        let links: Vec<String> = found
            .iter()
            .filter(|(_, node)| matches!(node, Node::Link(_)))
            .map(|(path, _)| path.clone())
            .collect();
        for link in links {
            if let Got::File { path, .. } | Got::Directory(path) = self.sources.get(&link) {
                found.extend(below(&path));
            }
        }
        found
    }

    /// A digest of all that the result of a cacheable step may depend on: if it is
    /// that of a step that is known, nothing has to run. May say "other" too
    /// often, never "the same".
    pub(crate) fn key(&self, step: &Step, log: &str) -> u64 {
        let target = self.project.target(&step.0);
        let mut hasher = DefaultHasher::new();
        (target.script(log), target.pass, &target.env, step.1, &target.needs).hash(&mut hasher);
        for var in &target.vars {
            self.environment.get(&format!("V{var}")).unwrap_or(&self.project.vars[*var]).hash(&mut hasher);
        }
        for it in &target.uses {
            self.matched(it).hash(&mut hasher);
        }
        for need in self.needs(step) {
            self.product(&need, log).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What a step adds to the keys of those that need it.
    fn product(&self, step: &Step, log: &str) -> Vec<(Step, u64)> {
        let target = self.project.target(&step.0);
        let mut hasher = DefaultHasher::new();
        if self.is_skipped(step) {
            return Vec::new();
        } else if !target.runs {
            self.needs(step).iter().for_each(|need| (need, self.product(need, log)).hash(&mut hasher));
        } else if target.out.is_some() {
            if let Fate::Good(made) = self.fate(step) {
                made.0.hash(&mut hasher);
            }
        } else if target.cacheable {
            self.key(step, log).hash(&mut hasher);
        } else {
            return Vec::new();
        }
        vec![(step.clone(), hasher.finish())]
    }
}

/// All steps to which some lead, and those themselves.
fn reachable(mut open: Vec<Step>, next: impl Fn(&Step) -> Vec<Step>) -> BTreeSet<Step> {
    let mut all = BTreeSet::new();
    while let Some(step) = open.pop() {
        if all.insert(step.clone()) {
            open.extend(next(&step));
        }
    }
    all
}

/// The paths that a shell would list, in its order.
fn listed(world: &Tree, it: &Use) -> Vec<String> {
    let (directory, deep) = match it {
        Use::Glob(directory) => (directory, false),
        Use::Deep(directory) => (directory, true),
        _ => return Vec::new(),
    };
    let below = format!("{directory}/");
    let fits = |path: &&String| {
        path.strip_prefix(&below).is_some_and(|rest| rest.ends_with(".txt") && (deep || !rest.contains('/')))
    };
    world.0.keys().filter(fits).cloned().collect()
}

/// What a use prints; `None` where it fails.
fn read(world: &Tree, it: &Use) -> Option<String> {
    let got = |path: &str| world.get(path);
    Some(match it {
        Use::Cat(path) => match got(path) {
            Got::File { text, .. } => text.to_owned(),
            _ => return None,
        },
        Use::First(path) => match got(path) {
            Got::File { text, .. } => text.chars().take(1).collect(),
            _ => return None,
        },
        Use::Mode(path) => match got(path) {
            Got::File { executable: true, .. } | Got::Directory(_) => "x\n".to_owned(),
            _ => "-\n".to_owned(),
        },
        Use::Refuse(path) => match got(path) {
            Got::File { text, .. } if text.contains('!') => return None,
            _ => String::new(),
        },
        Use::Glob(_) | Use::Deep(_) => {
            let mut all = String::new();
            for path in listed(world, it) {
                if let Got::File { text, .. } = world.get(&path) {
                    all.push_str(&format!("{path}\n{text}"));
                }
            }
            all
        }
    })
}
