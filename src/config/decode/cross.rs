//! What only the whole release shows: references to steps, and circles.

use crate::config::{Declared, Image, Name, Part, Release, Target};
use crate::diagnostic::{Code, Problem, Problems, Spanned};

pub(super) fn check(release: &Release, problems: &mut Problems) {
    let targets = release.targets.values().flat_map(|target| &target.needs);
    let images = release.images.values().flat_map(|image| &image.needs);
    for need in targets.chain(images).chain(&release.default) {
        problems.extend(check_step(release, need));
    }
    let mut told: Vec<&str> = Vec::new();
    for (name, var) in &release.vars {
        let mut path = vec![name.as_str()];
        if !told.contains(&name.as_str()) && circle_of_vars(release, name, &mut path) {
            told.extend(&path);

            let problem =
                Problem::new(Code::InvalidTemplate, format!("the variable `{name}` stands for itself"))
                    .label(var.value.as_ref().map_or(var.name.span, |value| value.span), shown(&path))
                    .help("give one of them a value without the other");
            problems.push(problem);
        }
    }
    told.clear();
    for (name, stage) in &release.stages {
        let circle = circle_of_stages(release, name);
        if let Some(from) =
            stage.from.as_ref().filter(|_| !circle.is_empty() && !told.contains(&name.as_str()))
        {
            told.extend(&circle);
            let problem = Problem::new(Code::Conflict, format!("the stage `{name}` comes from itself"))
                .label(from.span, shown(&circle))
                .help("a stage comes from one before it; remove `from` of the first");
            problems.push(problem);
        }
    }
}

/// Whether the part of a need behind its name exists: `[python=3.11]`, `@ghcr`.
fn check_step(release: &Release, need: &Spanned<String>) -> Option<Problem> {
    let end = need.value.find(['[', ':'])?;
    let (name, rest) = need.value.split_at(end);
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

/// Whether following the variables in the value of the last one leads back to
/// the first; `path` is then the way.
fn circle_of_vars<'a>(release: &'a Release, first: &str, path: &mut Vec<&'a str>) -> bool {
    let value = path.last().and_then(|name| release.vars.get(*name)).and_then(|var| var.value.as_ref());
    for part in value.iter().flat_map(|value| &value.parts) {
        let Part::Field(field) = part else { continue };
        let Name::Var(next) = &field.name else { continue };
        if next == first {
            path.push(next);
            return true;
        }
        if !path.contains(&next.as_str()) {
            path.push(next);
            if circle_of_vars(release, first, path) {
                return true;
            }
            path.pop();
        }
    }
    false
}

/// The stages from `first` back to it, if its `from` leads there.
fn circle_of_stages<'a>(release: &'a Release, first: &'a str) -> Vec<&'a str> {
    let mut path = vec![first];
    while let Some(stage) = path.last().and_then(|name| release.stages.get(*name)) {
        let Some(next) = stage.from.as_ref().map(|from| from.value.as_str()) else { break };
        let seen = path.contains(&next);
        path.push(next);
        if seen {
            return if next == first { path } else { Vec::new() };
        }
    }
    Vec::new()
}

fn shown(path: &[&str]) -> String {
    path.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ")
}
