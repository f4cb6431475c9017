//! What a release file declares, as a list.

use serde_json::{Value, json};

use crate::config::{Release, Target};
use crate::report::{Look, Paint, Table};

/// The declarations, a line each, private targets left out. What has the name of a
/// command is called in another way, which is said.
#[must_use]
pub fn list(release: &Release, commands: &[String], look: Look) -> String {
    let mut out = format!("{}\n", look.paint(Paint::Strong, &release.project));
    let default: Vec<_> = release.default.iter().map(|name| name.value.as_str()).collect();
    let mut section = |title: &str, table: &Table| {
        if !table.is_empty() {
            out.extend(["\n", &look.paint(Paint::Faint, title), "\n", &table.render(look, 2)]);
        }
    };
    let mut targets = Table::new();
    for target in visible(release) {
        let mark = if default.contains(&target.name.value.as_str()) { " (default)" } else { "" };
        let call = call(&target.name, commands);
        let about = format!("{}{mark}{call}", target.about.as_deref().unwrap_or_default());
        targets.row([name(&target.name), (None, about.trim_start().to_owned())]);
    }
    section("Targets", &targets);
    let mut images = Table::new();
    for image in release.images.values() {
        let registries: Vec<_> = image.push.iter().map(|push| push.registry.value.as_str()).collect();
        let to = if registries.is_empty() { String::new() } else { format!("to {}", registries.join(", ")) };
        let about = format!("{}{}", image.about.as_deref().unwrap_or_default(), call(&image.name, commands));
        images.row([name(&image.name), (Some(Paint::Faint), to), (None, about)]);
    }
    section("Images", &images);
    let mut stages = Table::new();
    for stage in release.stages.values() {
        stages.row([name(&stage.name), (None, stage.about.clone().unwrap_or_default())]);
    }
    section("Stages", &stages);
    let mut variables = Table::new();
    for var in release.vars.values() {
        let value = var.value.as_ref().map_or_else(|| "(must be given)".to_owned(), ToString::to_string);
        let about = var.about.clone().unwrap_or_default();
        variables.row([name(&var.name), (None, value), (Some(Paint::Faint), about)]);
    }
    section("Variables", &variables);
    if release.targets.is_empty() && release.images.is_empty() {
        out.push_str("\nIt declares no target and no image; `hoist init --print` shows what it could.\n");
    }
    out
}

/// How to run what has the name of a command.
fn call(name: &str, commands: &[String]) -> String {
    if commands.iter().any(|command| command == name) {
        format!(" (`hoist run {name}`)")
    } else {
        String::new()
    }
}

/// The same as a JSON value.
#[must_use]
pub fn list_json(release: &Release) -> Value {
    let targets = visible(release).map(|target| json!({ "name": target.name.value, "about": target.about }));
    let images = release.images.values().map(|image| {
        let push: Vec<_> = image.push.iter().map(|push| &push.registry.value).collect();
        json!({ "name": image.name.value, "about": image.about, "push": push })
    });
    let stages =
        release.stages.values().map(|stage| json!({ "name": stage.name.value, "about": stage.about }));
    let vars = release.vars.values().map(|var| {
        let value = var.value.as_ref().map(ToString::to_string);
        json!({ "name": var.name.value, "default": value, "env": var.env, "about": var.about })
    });
    json!({
        "project": release.project,
        "default": release.default.iter().map(|name| &name.value).collect::<Vec<_>>(),
        "targets": targets.collect::<Vec<_>>(),
        "images": images.collect::<Vec<_>>(),
        "stages": stages.collect::<Vec<_>>(),
        "vars": vars.collect::<Vec<_>>(),
    })
}

fn visible(release: &Release) -> impl Iterator<Item = &Target> {
    release.targets.values().filter(|target| !target.private)
}

fn name(name: &str) -> (Option<Paint>, String) {
    (Some(Paint::Name), name.to_owned())
}
