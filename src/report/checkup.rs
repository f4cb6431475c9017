//! What was checked of a machine.

use serde_json::{Value, json};

use crate::report::table::wrap;
use crate::report::{Look, Paint, Table};

/// Something that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What: `git`, `registry ghcr`.
    pub name: String,
    /// How it stands.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub help: Option<String>,
    /// What is known of an engine.
    pub engine: Option<Box<EngineFound>>,
}

/// An engine that builds images of Dockerfiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFound {
    /// `Docker` or `Podman`.
    pub program: String,
    /// Its version.
    pub version: String,
    /// Where it listens; `None` for one that is started for a run.
    pub address: Option<String>,
    /// What it runs on.
    pub platform: String,
    /// What else it runs programs of; `None` where that is not known.
    pub others: Option<Vec<String>>,
    /// Whether it builds with `BuildKit`.
    pub buildkit: bool,
    /// The platforms of the project that it is the one to build for.
    pub builds: Vec<String>,
}

/// How something that was checked stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should.
    Good,
    /// Something is missing that nothing here needs, or will be soon.
    Warn,
    /// What the release file needs is missing.
    Bad,
}

impl Level {
    /// `ok`, `warn`, or `fail`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warn => "warn",
            Self::Bad => "fail",
        }
    }
}

/// A line for each check; below it, what to do.
#[must_use]
pub fn checkup(checks: &[Check], look: Look) -> String {
    let mut table = Table::new();
    for check in checks {
        let paint = match check.level {
            Level::Good => Paint::Good,
            Level::Warn => Paint::Warn,
            Level::Bad => Paint::Bad,
        };
        table.row([
            (Some(paint), check.level.word().to_owned()),
            (Some(Paint::Name), look.tame(&check.name)),
            (None, look.tame(&check.found)),
        ]);
    }
    let mut out = table.render_whole(look, 0);
    for check in checks.iter().filter(|check| check.help.is_some()) {
        out.extend(["\n", &look.paint(Paint::Name, &look.tame(&check.name)), "\n"]);
        for line in check.help.iter().flat_map(|help| help.lines()) {
            for part in wrap(&look.tame(line), look.width.saturating_sub(2)) {
                out.extend(["  ", &part, "\n"]);
            }
        }
    }
    out
}

/// An object whose `checks` are all of them, and whose `status` is that of the worst.
#[must_use]
pub fn checkup_json(checks: &[Check]) -> Value {
    let worst =
        [Level::Bad, Level::Warn].into_iter().find(|level| checks.iter().any(|one| one.level == *level));
    let all = checks.iter().map(|check| {
        let mut value = json!({ "name": check.name, "status": check.level.word(), "found": check.found });
        if let Some(help) = &check.help {
            value["help"] = json!(help);
        }
        if let Some(engine) = &check.engine {
            let EngineFound { program, version, address, platform, others, buildkit, builds } = &**engine;
            value["engine"] = json!({
                "program": program,
                "version": version,
                "address": address,
                "platform": platform,
                "other_platforms": others,
                "buildkit": buildkit,
                "builds": builds,
            });
        }
        value
    });
    json!({ "status": worst.unwrap_or(Level::Good).word(), "checks": all.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_the_whole_and_help_stands_below() {
        let check = |name: &str, level, help: Option<&str>| Check {
            name: name.to_owned(),
            level,
            found: "so".to_owned(),
            help: help.map(ToOwned::to_owned),
            engine: None,
        };
        let checks = [check("git", Level::Good, None), check("cache", Level::Warn, Some("do this"))];
        let expected = "ok    git    so\nwarn  cache  so\n\ncache\n  do this\n";
        assert_eq!(checkup(&checks, Look::PLAIN), expected);
        let value = json!({
            "status": "warn",
            "checks": [
                { "name": "git", "status": "ok", "found": "so" },
                { "name": "cache", "status": "warn", "found": "so", "help": "do this" },
            ],
        });
        assert_eq!(checkup_json(&checks), value);
    }
}
