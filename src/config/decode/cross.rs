//! What only the whole release shows: references to steps, and circles.

use crate::config::decode::walk::Walk;
use crate::config::{Declared, Image, Name, Part, Release, Target, Template};
use crate::diagnostic::{Code, Problem, Problems, Spanned};

/// How many variables may stand in each other: each is filled in within the
/// one before.
const DEEPEST: usize = 64;

pub(super) fn check(release: &Release, problems: &mut Problems) {
    let targets = release.targets.values().flat_map(|target| &target.needs);
    let images = release.images.values().flat_map(|image| &image.needs);
    for need in targets.chain(images).chain(&release.default) {
        problems.extend(check_step(release, need));
    }
    check_vars(release, problems);
    check_stages(release, problems);
}

fn check_vars(release: &Release, problems: &mut Problems) {
    let value = |name: &str| release.vars.get(name).and_then(|var| var.value.as_ref());
    let walk =
        Walk::over(release.vars.keys().map(String::as_str), |name| value(name).map_or(Vec::new(), vars_in));
    for circle in &walk.circles {
        let Some((name, template)) = circle.first().and_then(|name| Some((name, value(name)?))) else {
            continue;
        };
        let problem = Problem::new(Code::InvalidTemplate, format!("the variable `{name}` stands for itself"))
            .label(template.span, shown(circle))
            .help("give one of them a value without the other");
        problems.push(problem);
    }
    let deepest = walk.depths.iter().find(|(name, depth)| **depth == DEEPEST + 1 && value(name).is_some());
    if let Some((name, template)) = deepest.and_then(|(name, _)| Some((name, value(name)?))) {
        let problem =
            Problem::new(Code::InvalidTemplate, format!("the variable `{name}` is nested too deeply"))
                .label(
                    template.span,
                    format!("stands for more than {DEEPEST} others, each in the one before"),
                )
                .help("say what it is with fewer steps between");
        problems.push(problem);
    }
}

fn vars_in(template: &Template) -> Vec<&str> {
    template.parts.iter().filter_map(var_of).collect()
}

fn var_of(part: &Part) -> Option<&str> {
    match part {
        Part::Field(field) => match &field.name {
            Name::Var(name) => Some(name),
            _ => None,
        },
        Part::Text(_) => None,
    }
}

fn check_stages(release: &Release, problems: &mut Problems) {
    let from = |name: &str| release.stages.get(name).map_or(&[][..], |stage| &stage.from);
    let names = release.stages.keys().map(String::as_str);
    let walk = Walk::over(names, |name| from(name).iter().map(|from| from.value.as_str()).collect());
    for circle in &walk.circles {
        let [name, next, ..] = circle.as_slice() else { continue };
        let Some(span) = from(name).iter().find(|from| from.value == *next).map(|from| from.span) else {
            continue;
        };
        let problem = Problem::new(Code::Conflict, format!("the stage `{name}` comes from itself"))
            .label(span, shown(circle))
            .help("a stage comes from one before it; remove `from` of the first");
        problems.push(problem);
    }
}

fn shown(path: &[&str]) -> String {
    path.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ")
}

/// Whether the part of a need behind its name exists: `[python=3.11]`, `@ghcr`.
fn check_step(release: &Release, need: &Spanned<String>) -> Option<Problem> {
    let end = need.value.find(['[', ':'])?;
    let (name, rest) = need.value.split_at(end);
    // What a glob matches is found where steps are chosen.
    if rest.contains(['*', '?']) {
        return None;
    }
    match release.declared(name)? {
        Declared::Target(target) => check_combination(target, need, rest),
        Declared::Image(image) => check_instance(image, need, rest.strip_prefix(':')?),
    }
}

fn check_combination(target: &Target, need: &Spanned<String>, rest: &str) -> Option<Problem> {
    let inside = rest.strip_prefix('[')?.strip_suffix(']')?;
    let pairs: Vec<(&str, &str)> = inside.split(',').filter_map(|pair| pair.split_once('=')).collect();
    let fits = pairs.len() == inside.split(',').count()
        && pairs.iter().map(|(key, _)| *key).eq(target.matrix.keys().map(String::as_str))
        && pairs.iter().all(|(key, value)| {
            target.matrix.get(*key).is_some_and(|values| values.iter().any(|known| known.value == *value))
                || is_field(value)
        });
    let name = &target.name.value;
    let first =
        target.matrix.iter().filter_map(|(key, values)| Some(format!("{key}={}", values.first()?.value)));
    let first = first.collect::<Vec<_>>().join(",");
    let help = if target.matrix.is_empty() {
        format!("`{name}` has no matrix; write `{name}`")
    } else {
        format!("such as `{name}[{first}]`; `{name}` means all")
    };
    (!fits).then(|| {
        Problem::new(Code::UnknownName, format!("there is no step `{}`", need.value))
            .label(need.span, "not a combination of the matrix")
            .help(help)
    })
}

/// A key of the needing target's own matrix in braces, filled in by the plan.
fn is_field(value: &str) -> bool {
    value.starts_with('{') && value.ends_with('}')
}

fn check_instance(image: &Image, need: &Spanned<String>, step: &str) -> Option<Problem> {
    let (kind, instance) =
        step.split_once('@').map_or((step, None), |(kind, instance)| (kind, Some(instance)));
    let known: Vec<String> = match kind {
        "build" => image.platforms.iter().map(|platform| platform.value.to_string()).collect(),
        "scan" => image.scans.iter().map(|scan| scan.scanner.value.clone()).collect(),
        "push" | "sign" | "attest" | "tag" => {
            image.push.iter().map(|push| push.registry.value.clone()).collect()
        }
        _ => Vec::new(),
    };
    let instance = instance?;
    // A build without `platforms` is for the machine's, which is not known here.
    if known.iter().any(|known| known == instance) || kind == "build" && known.is_empty() {
        return None;
    }
    let name = &image.name.value;
    let help = match known.as_slice() {
        [] => format!("write `{name}:{kind}`"),
        known => known.iter().map(|known| format!("`{name}:{kind}@{known}`")).collect::<Vec<_>>().join(", "),
    };
    let problem = Problem::new(Code::UnknownName, format!("there is no step `{}`", need.value));
    Some(problem.label(need.span, format!("`{name}` has no such step")).help(help))
}
