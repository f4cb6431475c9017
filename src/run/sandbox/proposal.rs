//! From what a target did to the inputs that it could declare.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::config::{PRIVATE, Pattern};
use crate::diagnostic::Spanned;
use crate::facts::{InputQuery, readable};
use crate::plan::{Action, Step};
use crate::run::Request;
use crate::run::sandbox::Learned;
use crate::run::sandbox::deed::{Deed, Doing, There};
use crate::run::sandbox::policy::Outputs;
use crate::run::sandbox::report::{escaped, seen_from};
use crate::run::sandbox::step::declared;

mod fold;

use fold::fold;

/// What follows from what a step did.
pub(super) fn learn(request: &Request, step: &Step, root: &Path, deeds: &[Deed]) -> Learned {
    let Action::Command(command) = &step.action else { return Learned::default() };
    let directory = command.dir.as_path();
    let own = Outputs::new(&command.outputs);
    let done = Done::sort(deeds, &own, root);
    let others = Outputs::new(&outputs_of_others(request, step));
    let visible = visible(request, step, root);
    let (named, plain): (Vec<_>, Vec<_>) = done.read.iter().partition(|path| is_private(path));
    let by_others: BTreeSet<&PathBuf> = plain.iter().copied().filter(|path| others.cover(path)).collect();
    let plain: BTreeSet<&Path> =
        plain.iter().filter(|path| !by_others.contains(*path)).map(|path| path.as_path()).collect();
    let candidates: BTreeSet<&Path> =
        visible.iter().map(PathBuf::as_path).filter(|path| !own.cover(path) && !others.cover(path)).collect();
    let mut inputs = fold(&plain, &candidates, &done.listed);
    inputs.extend(by_others.iter().chain(&named).map(|path| escaped(path)));
    inputs.extend(made_among(&inputs, &command.outputs, &visible, &done.read, step));
    inputs.extend(made_among(&inputs, &outputs_of_others(request, step), &visible, &done.read, step));

    inputs.sort_by_cached_key(|pattern| (pattern.starts_with('!'), relative(directory, pattern)));

    let declared = declared(request, step, root).unwrap_or_default();
    let declared: HashSet<&PathBuf> = declared.files.iter().collect();
    let here = |paths: &BTreeSet<PathBuf>| -> Vec<String> {
        paths.iter().map(|path| shown(directory, path)).collect()
    };
    let undeclared = done.read.iter().filter(|path| !declared.contains(path)).cloned().collect();
    Learned {
        step: step.id.to_string(),
        inputs: inputs.iter().map(|pattern| relative(directory, pattern)).collect(),
        read: here(&done.read),
        undeclared: here(&undeclared),
        unread: unread(step, &done.read).map(|pattern| relative(directory, pattern)).collect(),
        listed: here(&done.listed),
        looked_at: here(&done.looked_at),
        missing: here(&done.missing),
        unkept: here(&done.unkept),
    }
}

/// What a step did, sorted out. What it made itself it did not need to be given.
#[derive(Debug, Default)]
struct Done {
    read: BTreeSet<PathBuf>,
    listed: BTreeSet<PathBuf>,
    looked_at: BTreeSet<PathBuf>,
    missing: BTreeSet<PathBuf>,
    unkept: BTreeSet<PathBuf>,
}

impl Done {
    fn sort(deeds: &[Deed], own: &Outputs, root: &Path) -> Self {
        let mut done = Self::default();
        let mut made: HashSet<&Path> = HashSet::new();
        let mut changed: BTreeSet<&PathBuf> = BTreeSet::new();
        for Deed { path, doing, there } in deeds {
            let is_own = own.cover(path) || path.ancestors().any(|above| made.contains(above));
            let known = done.read.contains(path);
            match (doing, there) {
                (Doing::Write(opening), _) if *there != There::Directory => {
                    let replaced = *there == There::Nothing || opening.truncate;
                    if replaced && opening.create || *there != There::Nothing {
                        changed.insert(path);
                    }
                    if replaced && opening.create && !known {
                        made.insert(path);
                    } else if opening.read && !replaced && !is_own {
                        done.read.insert(path.clone());
                    }
                }
                (Doing::Make, _) => {
                    changed.insert(path);
                    if !known {
                        made.insert(path);
                    }
                }
                (Doing::MakeDirectory, There::Nothing) => {
                    made.insert(path);
                }
                (Doing::Read | Doing::Execute, There::File) if !is_own => {
                    done.read.insert(path.clone());
                }
                (Doing::List, There::Directory) if !is_own => {
                    done.listed.insert(path.clone());
                }
                (Doing::Look, There::File) if !is_own => {
                    done.looked_at.insert(path.clone());
                }
                (Doing::Read | Doing::Execute | Doing::List | Doing::Look, There::Nothing) if !is_own => {
                    done.missing.insert(path.clone());
                }
                _ => {}
            }
        }
        let is_file = |path: &Path| root.join(path).symlink_metadata().is_ok_and(|it| !it.is_dir());
        // What went away again can be neither given nor kept.
        done.read.retain(|path| is_file(path));
        done.unkept = changed.into_iter().filter(|path| !own.cover(path) && is_file(path)).cloned().collect();
        let read = &done.read;
        done.looked_at.retain(|path| !read.contains(path));
        done
    }
}

fn is_private(path: &Path) -> bool {
    path.iter().any(|part| PRIVATE.iter().any(|private| part == *private))
}

/// All files of the project that wildcards can match.
fn visible(request: &Request, step: &Step, root: &Path) -> Vec<PathBuf> {
    let glob = Spanned::new("**".to_owned(), step.span);
    let patterns = vec![Pattern { glob, negated: false }];
    let query = InputQuery { patterns, honour_ignore: true, ..InputQuery::default() };
    readable(root, &request.release, &request.facts, &query).map(|found| found.files).unwrap_or_default()
}

/// What other targets make, as far as it is declared without a matrix.
fn outputs_of_others(request: &Request, step: &Step) -> Vec<Pattern> {
    let owner = step.id.owner.split('[').next().unwrap_or_default();
    let others = request.release.targets.iter().filter(|(name, _)| *name != owner);
    others.flat_map(|(_, target)| target.outputs.iter().cloned()).collect()
}

/// Declared patterns of which nothing was read.
fn unread<'a>(step: &'a Step, read: &'a BTreeSet<PathBuf>) -> impl Iterator<Item = &'a str> {
    let patterns = step.inputs.as_ref().map(|query| query.patterns.as_slice()).unwrap_or_default();
    patterns.iter().filter(|pattern| !pattern.negated).filter_map(move |pattern| {
        let one = Outputs::new(std::slice::from_ref(pattern));
        (!read.iter().any(|path| one.cover(path))).then_some(pattern.glob.value.as_str())
    })
}

fn wildcards(texts: &[String], step: &Step) -> Vec<Pattern> {
    let pattern = |text: &String| Pattern { glob: Spanned::new(text.clone(), step.span), negated: false };
    texts.iter().filter(|text| text.contains('*')).map(pattern).collect()
}

/// What is to be taken away from wildcards: outputs that they match and that were
/// not read. Else the target would need itself, or what it does not use.
fn made_among(
    inputs: &[String],
    outputs: &[Pattern],
    visible: &[PathBuf],
    read: &BTreeSet<PathBuf>,
    step: &Step,
) -> Vec<String> {
    let wildcards = Outputs::new(&wildcards(inputs, step));
    let matched = |output: &&Pattern| {
        let one = Outputs::new(std::slice::from_ref(*output));
        let among = |path: &Path| wildcards.cover(path) && one.cover(path);
        let used = read.iter().any(|path| one.cover(path));
        let literal = output.is_literal() && wildcards.cover(Path::new(&output.glob.value));
        !output.negated && !used && (literal || visible.iter().any(|path| among(path)))
    };
    outputs.iter().filter(matched).map(|output| format!("!{}", output.glob.value)).collect()
}

/// A pattern of the project as it is written in a target that runs in `directory`.
fn relative(directory: &Path, pattern: &str) -> String {
    let (sign, pattern) = pattern.strip_prefix('!').map_or(("", pattern), |rest| ("!", rest));
    format!("{sign}{}", seen_from(directory, Path::new(pattern)).display())
}

fn shown(directory: &Path, path: &Path) -> String {
    let seen = seen_from(directory, path);
    if seen.as_os_str().is_empty() { ".".to_owned() } else { seen.display().to_string() }
}
