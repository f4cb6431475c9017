//! A first release.kdl for what a project has.

use std::fmt::Write as _;

use crate::config::name_fits;
use crate::interop::makefile;

/// What was found in a project's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Name of the directory.
    pub name: String,
    /// Text of the Makefile.
    pub makefile: Option<String>,
    /// A `Cargo.toml` is there.
    pub cargo: bool,
    /// Text of `package.json`.
    pub package_json: Option<String>,
    /// A `pyproject.toml` is there.
    pub pyproject: bool,
    /// Paths of Dockerfiles: `Dockerfile`, `docker/api.Dockerfile`.
    pub dockerfiles: Vec<String>,
    /// Host and path of the repository's remote, where images could go:
    /// `ghcr.io/acme` of a remote at github.com/acme/shop.
    pub registry: Option<String>,
}

/// Names that the file declares already.
#[derive(Default)]
struct Draft {
    text: String,
    names: Vec<String>,
}

/// The text of a release.kdl that checks, plans, and runs in such a project.
#[must_use]
pub fn starter(found: &Found) -> String {
    let mut draft = Draft::default();
    let _ = writeln!(
        draft.text,
        "// What this repository builds, checks, and publishes: https://kdl.dev version 2."
    );
    let _ = writeln!(draft.text, "project {}", quoted(&found.name));
    // Where there is a Makefile, its targets are what people know.
    let made = found.makefile.as_deref().map(|text| make(&mut draft, text));
    if found.cargo {
        cargo(&mut draft);
    }
    if let Some(text) = &found.package_json {
        npm(&mut draft, text);
    }
    if found.pyproject {
        python(&mut draft);
    }
    if draft.names.is_empty() && found.dockerfiles.is_empty() {
        draft.target("hello", "Say hello", &["run \"echo hello from $HOIST_PROJECT\""]);
    }
    let checks: Vec<_> = ["lint", "test", "build"].into_iter().filter(|name| draft.has(name)).collect();
    let first = || draft.names.iter().map(String::as_str).take(1).collect();
    let default: Vec<&str> = match made {
        Some(made) => vec![made],
        None if checks.is_empty() => first(),
        None => checks,
    };
    let default: Vec<_> = default.into_iter().map(quoted).collect();
    images(&mut draft, found);
    if !default.is_empty() {
        let _ = write!(draft.text, "\ndefault {}\n", default.join(" "));
    }
    draft.text
}

impl Draft {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Adds a target, unless something of that name is there or it is none.
    fn target(&mut self, name: &str, about: &str, lines: &[&str]) {
        if self.has(name) || name_fits(name).is_err() {
            return;
        }
        self.names.push(name.to_owned());
        let _ = writeln!(self.text, "\ntarget {} about={} {{", quoted(name), quoted(about));
        for line in lines {
            let _ = writeln!(self.text, "    {line}");
        }
        self.text.push_str("}\n");
    }
}

fn cargo(draft: &mut Draft) {
    // Tests and macros may read any file. Cargo itself knows what to build again.
    let all = r#"inputs "**/*""#;
    let tool = r#"tool "rustc --version""#;
    let pass = r#"pass-env "CARGO_HOME" "RUSTUP_HOME""#;
    let lint = r#"run "cargo fmt --check && cargo clippy --all-targets -- -D warnings""#;
    draft.target("lint", "Check the style", &[lint, all, tool, pass]);
    draft.target("test", "Run the tests", &[r#"run "cargo test""#, all, tool, pass]);
    draft.target("build", "Compile", &[r#"run "cargo build --release""#]);
}

fn npm(draft: &mut Draft, text: &str) {
    let package: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    draft.target("install", "Install the packages", &[r#"run "npm ci || npm install""#]);
    let Some(scripts) = package.get("scripts").and_then(serde_json::Value::as_object) else { return };
    for name in scripts.keys().filter(|name| typable(name)) {
        let run = format!("run \"npm\" \"run\" {}", quoted(name));
        draft.target(name, &format!("npm run {name}"), &[r#"needs "install""#, &run]);
    }
}

fn python(draft: &mut Draft) {
    let test = r#"run "python3 -m pytest""#;
    draft.target("test", "Run the tests", &[test]);
    draft.target("wheel", "Build the wheel", &[r#"run "python3 -m pip wheel --no-deps --wheel-dir dist .""#]);
}

/// A target for each of the Makefile's; the one that `make` alone would make.
fn make<'a>(draft: &mut Draft, text: &'a str) -> &'a str {
    for target in makefile::targets(text) {
        let run = format!("run \"make\" {}", quoted(target.name));
        let about = target.about.map_or_else(|| format!("make {}", target.name), ToOwned::to_owned);
        draft.target(target.name, &about, &[&run]);
    }
    makefile::default(text).filter(|name| draft.has(name)).unwrap_or_else(|| {
        draft.target("make", "What `make` makes by default", &["run \"make\""]);
        "make"
    })
}

fn images(draft: &mut Draft, found: &Found) {
    if found.dockerfiles.is_empty() {
        return;
    }
    if let Some(registry) = &found.registry {
        let _ = write!(draft.text, "\nregistry \"origin\" {}\n", quoted(registry));
    }
    draft.text.push_str(
        "\ntags \"standard\" {\n    semver \"{version}\" \"{major}.{minor}\"\n    latest\n    \
         branch \"{branch}-{short}\"\n    pr \"pr-{number}\"\n}\n",
    );
    let goals = ["build", "test", "scan", "push"].into_iter().filter(|goal| draft.has(goal));
    let shadowed: Vec<&str> = goals.collect();
    if !shadowed.is_empty() {
        draft.text.push('\n');
    }
    for goal in shadowed {
        let _ = writeln!(
            draft.text,
            "// `hoist {goal}` is the target above; that of all images is `hoist run '*:{goal}*'`."
        );
    }
    let project = image_name(&found.name);
    for path in &found.dockerfiles {
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.strip_suffix(".Dockerfile").or_else(|| file.strip_prefix("Dockerfile."));
        let mut name = image_name(stem.unwrap_or(&project));
        if draft.has(&name) {
            name.push_str("-image");
        }
        if draft.has(&name) {
            continue;
        }
        let push = if found.registry.is_some() { "    push \"origin\"\n" } else { "" };
        let _ = write!(
            draft.text,
            "\nimage {} {{\n    dockerfile {} context=\".\"\n    tags \"standard\"\n{push}}}\n",
            quoted(&name),
            quoted(path),
        );
        draft.names.push(name);
    }
}

/// A name that the grammar of references allows for a repository.
fn image_name(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = lower.chars().map(fits).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "image".to_owned() } else { name.to_owned() }
}

fn typable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A KDL string. What is written so are names, paths, and commands without braces
/// that mean something.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_its_directory_s_name_whatever_it_is() {
        let found = Found { name: "a{b}\"c".to_owned(), ..Found::default() };
        assert!(starter(&found).contains("\nproject \"a{b}\\\"c\"\n"));
    }
}
