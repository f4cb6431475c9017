//! Names that documents declare.

use indexmap::IndexMap;

use crate::config::decode::read::argument;
use crate::config::{Fact, LoadedDocument};
use crate::diagnostic::{Code, Problem, Problems, Span};

/// Why a text cannot be the name of something, if it cannot.
///
/// Names are typed at a shell, and `:`, `@`, `[`, `]`, `,`, and `=` have a
/// meaning beside them: `web:push@ghcr`, `lint[python=3.11,os=a]`, `NAME=value`.
pub(crate) fn name_fits(name: &str) -> Result<(), String> {
    let refused = |c: char| c.is_whitespace() || c.is_control() || r#":@[],=*?{}"'`\!$"#.contains(c);
    if name.is_empty() {
        Err("it is empty".to_owned())
    } else if let Some(character) = name.chars().find(|c| refused(*c)) {
        Err(format!("`{}` is not allowed in a name", character.escape_debug()))
    } else if name.starts_with('-') {
        Err("a leading `-` would be taken for a flag".to_owned())
    } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Err("`/` stands between words".to_owned())
    } else {
        Ok(())
    }
}

/// What can be declared by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Noun {
    Var,
    Target,
    Image,
    Pool,
    Registry,
    Tags,
    Stage,
    Builder,
}

impl Noun {
    const ALL: [Self; 8] = [
        Self::Var,
        Self::Target,
        Self::Image,
        Self::Pool,
        Self::Registry,
        Self::Tags,
        Self::Stage,
        Self::Builder,
    ];

    /// The name of its node.
    pub(super) const fn node(self) -> &'static str {
        match self {
            Self::Var => "var",
            Self::Target => "target",
            Self::Image => "image",
            Self::Pool => "pool",
            Self::Registry => "registry",
            Self::Tags => "tags",
            Self::Stage => "stage",
            Self::Builder => "builder",
        }
    }

    /// What it is, in a sentence.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Var => "variable",
            Self::Tags => "set of tags",
            other => other.node(),
        }
    }

    /// Whether the two share one name space.
    fn shares(self, other: Self) -> bool {
        let work = |noun| matches!(noun, Self::Target | Self::Image);
        self == other || work(self) && work(other)
    }
}

/// All names of a project, with their prefixes.
#[derive(Debug, Default)]
pub(super) struct Names(IndexMap<String, Vec<(Noun, Span)>>);

/// `name` with a prefix.
pub(super) fn full(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

impl Names {
    /// What some documents declare; a name twice in one name space is a problem.
    pub(super) fn collect(documents: &[LoadedDocument], problems: &mut Problems) -> Self {
        let mut names = Self::default();
        for loaded in documents {
            for node in &loaded.document.nodes {
                let noun = Noun::ALL.into_iter().find(|noun| noun.node() == node.name.value);
                let name = argument(node, 0).and_then(|value| value.as_str().map(|name| (name, value.span)));
                if let (Some(noun), Some((name, span))) = (noun, name) {
                    names.declare(noun, &loaded.prefix, name, span, problems);
                }
            }
        }
        names
    }

    fn declare(&mut self, noun: Noun, prefix: &str, name: &str, span: Span, problems: &mut Problems) {
        let name_there = full(prefix, name);
        if noun == Noun::Var && Fact::ALL.iter().any(|fact| fact.as_str() == name) {
            let problem =
                Problem::new(Code::DuplicateName, format!("the variable `{name}` has the name of a fact"))
                    .label(span, format!("`{{{name}}}` is a fact of every run"))
                    .help("give the variable another name");
            problems.push(problem);
        }
        let all = self.0.entry(name_there.clone()).or_default();
        if let Some((other, first)) = all.iter().find(|(other, _)| noun.shares(*other)) {
            let both = match other {
                other if *other == noun => format!("two {}s have the name `{name_there}`", noun.about()),
                _ => format!("a target and an image have the name `{name_there}`"),
            };
            let both = both.replace("set of tagss", "sets of tags");
            let problem = Problem::new(Code::DuplicateName, both)
                .label(span, "declared again")
                .label(*first, "first declared here")
                .help("give one of them another name");
            problems.push(problem);
        } else {
            all.push((noun, span));
        }
    }

    /// What `name` means in a file with this prefix: its own first, then that of
    /// the file that includes it, and so on outwards.
    pub(super) fn resolve(&self, nouns: &[Noun], prefix: &str, name: &str) -> Option<(Noun, String)> {
        let outer = prefix.rmatch_indices('/').filter_map(|(at, _)| prefix.get(..at));
        [prefix].into_iter().chain(outer).chain([""]).find_map(|prefix| {
            let name = full(prefix, name);
            let found = self.0.get(&name)?.iter().find(|(noun, _)| nouns.contains(noun))?;
            Some((found.0, name))
        })
    }

    /// How a file with this prefix may call what there is.
    pub(super) fn callable<'a>(
        &'a self,
        nouns: &'a [Noun],
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let fits = |all: &[(Noun, Span)]| all.iter().any(|(noun, _)| nouns.contains(noun));
        let own = move |name: &'a str| {
            name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
        };
        self.0.iter().filter(move |(_, all)| fits(all)).map(move |(name, _)| own(name))
    }
}
