//! Which targets make which files, by what they declare.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;

use indexmap::IndexMap;

use crate::config::{Pattern, Recipe, Release, Target};
use crate::diagnostic::{Code, Problem, Span};
use crate::facts::{Links, Resolved};
use crate::plan::edge::outline_text;
use crate::plan::glob::{Glob, HOLE, meet};
use crate::plan::unit::{Unit, fill_matrix, row_values, rows};

/// One pattern of a list, and the later ones that take away from it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    glob: Glob,
    /// The same without what lies below, where it can only be files.
    files: Option<Glob>,
    /// Whether it may be a file as well as a directory.
    unsure: bool,
    without: Vec<Glob>,
    /// Its text, for messages.
    text: String,
    /// The pattern in the source.
    pub(super) span: Span,
    /// The link, and where it leads, where the text is not as it is written but the place
    /// that it leads to.
    link: Option<(String, String)>,
}

impl Named {
    /// What is copied from a path or glob: by the path that is written, and by where links
    /// lead.
    pub(super) fn copied(text: &str, span: Span, links: &Links) -> Vec<Self> {
        let copied = |text: &str, link| {
            let (glob, text) = (Glob::tree(text), text.to_owned());
            Self { glob, files: None, unsure: false, without: Vec::new(), text, span, link }
        };
        let resolved = links.resolve(text).map(|Resolved { text, link }| copied(&text, Some(link)));
        [copied(text, None)].into_iter().chain(resolved).collect()
    }

    /// The inputs of a list: each pattern that adds to it; also by where links lead.
    pub(super) fn inputs(patterns: &[Pattern], links: &Links) -> Vec<Self> {
        Self::list(patterns, Glob::files, links).map(|(_, named)| named).collect()
    }

    /// The outputs of a target for one combination of its matrix: each pattern that
    /// adds to them; also by where links lead.
    ///
    /// One is a directory if it is written with a `/` at its end, and is files if its
    /// name has an extension. Any other may be either, and is taken for a directory
    /// where a pattern could match something in it: a need too many shows as a cycle
    /// at worst, without one the other target would read what is half-made.
    fn outputs(target: &Target, row: usize, links: &Links) -> Vec<Self> {
        let patterns = filled(&target.outputs, &row_values(target, row));
        let outputs = Self::list(&patterns, Glob::tree, links).map(|(at, named)| {
            let directory = target.directories.contains(&at);
            let files = (!directory && has_extension(&named.text)).then(|| Glob::exact(&named.text));
            Self { unsure: !directory && files.is_none(), files, ..named }
        });
        outputs.collect()
    }

    fn list(
        patterns: &[Pattern],
        read: fn(&str) -> Glob,
        links: &Links,
    ) -> impl Iterator<Item = (usize, Self)> {
        let adding = patterns.iter().enumerate().filter(|(_, pattern)| !pattern.negated);
        adding.flat_map(move |(at, pattern)| {
            let later = || patterns.iter().skip(at).filter(|later| later.negated);
            let named = |text: &str, without: Vec<Glob>, link| Self {
                glob: read(text),
                files: None,
                unsure: false,
                without,
                text: text.to_owned(),
                span: pattern.glob.span,
                link,
            };
            let text = &pattern.glob.value;
            let written = named(text, later().map(|later| Glob::tree(&later.glob.value)).collect(), None);
            let place = |text: &str| links.resolve(text).map_or_else(|| text.to_owned(), |led| led.text);
            let led_to = links.resolve(text).map(|Resolved { text, link }| {
                let without = later().map(|later| Glob::tree(&place(&later.glob.value))).collect();
                named(&text, without, Some(link))
            });
            [written].into_iter().chain(led_to).map(move |named| (at, named))
        })
    }

    /// What is to be said of the link that it leads through.
    fn through(&self) -> Option<String> {
        self.link.as_ref().map(|(link, real)| format!("`{link}` is a link to `{real}`"))
    }

    fn meets(&self, other: &Self) -> bool {
        let without: Vec<&Glob> = self.without.iter().chain(&other.without).collect();
        meet(self.as_seen_by(other), other.as_seen_by(self), &without)
    }

    /// What is below files counts only for what says that they are directories.
    fn as_seen_by(&self, other: &Self) -> &Glob {
        self.files.as_ref().filter(|files| !other.lies_in(files)).unwrap_or(&self.glob)
    }

    /// Whether its text leads through a path that a pattern names.
    fn lies_in(&self, outer: &Glob) -> bool {
        let prefix = self.glob.prefix();
        let mut above = prefix.match_indices('/').filter_map(|(at, _)| prefix.get(..at));
        above.any(|directory| outer.has(directory))
    }

    /// Whether it meets an output only where that is a directory, which neither of
    /// them says.
    pub(super) fn guesses(&self, output: &Self) -> bool {
        let path = output.glob.path().filter(|_| output.unsure);
        path.is_some_and(|path| !self.glob.has(path) && !self.lies_in(&output.glob))
    }
}

/// Whether a name ends as those of files do: `a.o`, `*.js`; not `v1.2` or `.next`.
fn has_extension(text: &str) -> bool {
    let extension = Path::new(text).extension().unwrap_or_default().to_string_lossy();
    extension.chars().all(char::is_alphanumeric) && extension.contains(char::is_alphabetic)
}

/// The outputs of all targets.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    made: Vec<(Unit, Named)>,
    /// By what the paths of a pattern begin with.
    by_prefix: BTreeMap<String, Vec<usize>>,
}

impl Files {
    pub(super) fn new(release: &Release, links: &Links) -> Self {
        let mut files = Self::default();
        for (at, target) in release.targets.values().enumerate() {
            if target.outputs.is_empty() {
                continue;
            }
            for row in 0..rows(target).unwrap_or_default() {
                let outputs = Named::outputs(target, row, links).into_iter();
                files.made.extend(outputs.map(|named| (Unit::Target { target: at, row }, named)));
            }
        }
        for (at, (_, named)) in files.made.iter().enumerate() {
            files.by_prefix.entry(named.glob.prefix().to_owned()).or_default().push(at);
        }
        files
    }

    /// The steps that make something of what `wanted` names, and the outputs.
    pub(super) fn makers<'a>(&'a self, wanted: &'a Named) -> impl Iterator<Item = (Unit, &'a Named)> {
        let near = self.near(wanted.glob.prefix());
        near.filter_map(|at| self.made.get(at))
            .filter(|(_, made)| made.meets(wanted))
            .map(|(unit, made)| (*unit, made))
    }

    /// Whether an output covers this path.
    fn has(&self, path: &str) -> bool {
        let covers = |(_, named): &(Unit, Named)| {
            named.glob.has(path) && !named.without.iter().any(|without| without.has(path))
        };
        self.near(path).filter_map(|at| self.made.get(at)).any(covers)
    }

    /// Outputs that could have a path that begins like this.
    fn near(&self, prefix: &str) -> impl Iterator<Item = usize> {
        let shorter = (0..prefix.len()).filter_map(|end| self.by_prefix.get(prefix.get(..end)?));
        let longer = self.by_prefix.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let longer = longer.take_while(|(other, _)| other.starts_with(prefix)).map(|(_, made)| made);
        let mut found: Vec<usize> = shorter.chain(longer).flatten().copied().collect();
        found.sort_unstable();
        found.into_iter()
    }

    /// Pairs of steps that would write the same path, each pair once.
    pub(super) fn overlaps(
        &self,
        runs: impl Fn(Unit) -> bool,
        name: impl Fn(Unit) -> String,
    ) -> Vec<Problem> {
        let mut problems: IndexMap<(usize, usize), Problem> = IndexMap::new();
        for (at, (unit, named)) in self.made.iter().enumerate().filter(|(_, (unit, _))| runs(*unit)) {
            for earlier in self.near(named.glob.prefix()).take_while(|earlier| *earlier < at) {
                let Some((other, made)) = self.made.get(earlier) else { continue };
                let same_target = target_of(*other) == target_of(*unit);
                let pair = (target_of(*other), target_of(*unit));
                if other == unit || problems.contains_key(&pair) || !runs(*other) || !made.meets(named) {
                    continue;
                }
                let title = format!("`{}` and `{}` make the same files", name(*other), name(*unit));
                let problem = Problem::new(Code::OverlappingOutputs, title)
                    .label(named.span, format!("`{}` of `{}`", named.text, name(*unit)));
                let through: BTreeSet<String> =
                    [named, made].into_iter().filter_map(Named::through).collect();
                let problem = through.into_iter().fold(problem, Problem::note);
                problems.insert(
                    pair,
                    if same_target {
                        problem.help("put the values of the matrix into the path")
                    } else {
                        problem
                            .label(made.span, format!("`{}` of `{}`", made.text, name(*other)))
                            .help("let each path be an output of one target")
                    },
                );
            }
        }
        problems.into_values().collect()
    }
}

const fn target_of(unit: Unit) -> usize {
    match unit {
        Unit::Target { target, .. } => target,
        _ => usize::MAX,
    }
}

/// Patterns with the values of a matrix in them.
pub(super) fn filled(patterns: &[Pattern], values: &IndexMap<String, String>) -> Vec<Pattern> {
    let fill =
        |pattern: &Pattern| Pattern { glob: fill_matrix(&pattern.glob, values), negated: pattern.negated };
    patterns.iter().map(fill).collect()
}

/// What a step of a target reads, by its declaration.
pub(super) fn inputs_of(target: &Target, row: usize) -> Vec<Pattern> {
    filled(target.inputs.as_deref().unwrap_or_default(), &row_values(target, row))
}

/// The links but for those in the place of outputs: what such a one leads to is not what
/// will be there.
pub(super) fn beside_outputs(release: &Release, links: &Links) -> Links {
    if links.is_empty() {
        return Links::default();
    }
    let files = Files::new(release, &Links::default());
    links.without(|place| files.has(place))
}

/// The places on the way to what targets and images declare to read or make, to be looked
/// at for [`Links`].
#[must_use]
pub fn places_of(release: &Release) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    let mut add = |text: &str, whole: bool| {
        let wild = text.find(['*', '?', '[', '{', '\\', HOLE]);
        let fixed = text.get(..wild.unwrap_or(text.len())).unwrap_or_default();
        let mut all: Vec<&str> = fixed.match_indices('/').filter_map(|(at, _)| fixed.get(..at)).collect();
        all.extend(Some(fixed.trim_end_matches('/')).filter(|_| whole && wild.is_none()));
        for place in all {
            if !places.contains(place) {
                places.insert(place.to_owned());
            }
        }
    };
    for target in release.targets.values() {
        for row in 0..rows(target).unwrap_or_default() {
            for made in filled(&target.outputs, &row_values(target, row)) {
                // A link in the place of an output is none that it is made through.
                add(&made.glob.value, false);
            }
            for read in inputs_of(target, row) {
                add(&read.glob.value, true);
            }
        }
    }
    for image in release.images.values() {
        if let Recipe::Assemble(recipe) = &image.recipe {
            for copy in recipe.layers.iter().flat_map(|layer| &layer.copies) {
                if let Ok(path) = image.home.join(outline_text(&copy.from)) {
                    add(&path.to_string(), true);
                }
            }
        }
        if let Some(sbom) = &image.sbom {
            add(&sbom.value.to_string(), true);
        }
    }
    places
}

/// What is declared to be made, and what is named to be read.
pub struct Declared {
    made: Files,
    read: BTreeSet<String>,
}

impl Declared {
    /// What the targets and images of a release declare.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        let mut read = BTreeSet::new();
        for target in release.targets.values() {
            for row in 0..rows(target).unwrap_or_default() {
                let named = inputs_of(target, row).into_iter().filter(|it| it.is_literal() && !it.negated);
                read.extend(named.map(|it| it.glob.value.trim_end_matches('/').to_owned()));
            }
        }
        for image in release.images.values() {
            let Recipe::Assemble(recipe) = &image.recipe else { continue };
            let copies = recipe.layers.iter().flat_map(|layer| &layer.copies);
            let paths = copies.filter_map(|copy| image.home.join(outline_text(&copy.from)).ok());
            read.extend(paths.map(|path| path.to_string()));
        }
        Self { made: Files::new(release, &Links::default()), read }
    }

    /// Whether a path is an output of a target.
    #[must_use]
    pub fn makes(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|text| self.made.has(text))
    }

    /// Whether a path is an output of a target, or is read by its name, or that of a
    /// directory above it. What is not text may be.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        let Some(text) = path.to_str() else { return true };
        self.made.has(text)
            || path.ancestors().any(|above| above.to_str().is_some_and(|above| self.read.contains(above)))
    }
}
