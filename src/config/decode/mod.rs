//! Checked documents to the typed model.
//!
//! One file per noun. The form of the documents has been compared with the
//! grammar before, so a value that is missing or of a wrong type is passed over
//! here without a word, and something is put in its place: no model leaves this
//! station while there is a problem.

mod assemble;
mod cross;
mod deploy;
mod dockerfile;
mod image;
mod names;
mod outputs;
mod path;
mod project;
mod read;
mod reference;
mod registry;
mod secret;
mod stage;
mod tags;
mod target;
mod template;
mod trial;
mod walk;

pub(crate) use names::name_fits;

use indexmap::IndexMap;

use crate::config::decode::names::Names;
use crate::config::decode::template::Scope;
use crate::config::grammar::check;
use crate::config::{LoadedDocument, ProjectPath, Release, TagSet};
use crate::diagnostic::{Problem, Problems};
use crate::syntax::Node;

/// What the documents of a project declare together.
///
/// Documents with an empty prefix are the file that the project was found by and
/// parts of it. `directory_name` is the project's name where they give none.
///
/// # Errors
/// Everything that is wrong with the documents, by their order in them. A file
/// for a newer hoist is the only problem of its kind that hides the others: they
/// would follow from it.
pub fn decode(documents: &[LoadedDocument], directory_name: &str) -> Result<Release, Problems> {
    for loaded in documents {
        project::check_version(&loaded.document)?;
    }
    let mut problems = Problems::new();
    for loaded in documents {
        check(&loaded.document, &mut problems);
    }
    project::check_once(documents, &mut problems);
    let names = Names::collect(documents, &mut problems);
    let mut release = Release::empty(directory_name);
    for loaded in documents {
        let tag_sets = IndexMap::new();
        let mut decoder = Decoder::new(&names, &tag_sets, loaded, &mut problems);
        let sets = nodes(loaded, "tags").filter_map(|node| decoder.tag_set(node));
        release.tag_sets.extend(sets.map(|set: TagSet| (set.name.value.clone(), set)));
    }
    let tag_sets = release.tag_sets.clone();
    for loaded in documents {
        Decoder::new(&names, &tag_sets, loaded, &mut problems).document(loaded, &mut release);
    }
    cross::check(&release, &mut problems);
    outputs::check(documents, &release, &mut problems);
    in_order(problems).or(release)
}

/// Problems by their places, so that they read as the file does.
fn in_order(problems: Problems) -> Problems {
    let mut all: Vec<Problem> = problems.into_iter().collect();
    all.sort_by_key(|problem| problem.labels.first().map(|label| (label.span.source, label.span.start)));
    let mut sorted = Problems::new();
    sorted.extend(all);
    sorted
}

fn nodes<'a>(loaded: &'a LoadedDocument, name: &'a str) -> impl Iterator<Item = &'a Node> {
    loaded.document.nodes.iter().filter(move |node| node.name.value == name)
}

/// Decodes the nodes of one document.
struct Decoder<'a> {
    names: &'a Names,
    /// The named sets that images and stages take rules from.
    tag_sets: &'a IndexMap<String, TagSet>,
    /// What stands before the names that the document declares.
    prefix: &'a str,
    /// The document's directory.
    home: ProjectPath,
    /// What templates may name beside variables and facts.
    scope: Scope,
    problems: &'a mut Problems,
}

impl<'a> Decoder<'a> {
    fn new(
        names: &'a Names,
        tag_sets: &'a IndexMap<String, TagSet>,
        loaded: &'a LoadedDocument,
        problems: &'a mut Problems,
    ) -> Self {
        let home = loaded.path.parent().unwrap_or_default();
        Self { names, tag_sets, prefix: &loaded.prefix, home, scope: Scope::default(), problems }
    }

    /// Adds what the document declares to the release.
    fn document(&mut self, loaded: &LoadedDocument, release: &mut Release) {
        for node in &loaded.document.nodes {
            match node.name.value.as_str() {
                "dotenv" => release.dotenv.extend(node.arguments.iter().filter_map(|value| self.path(value))),
                "var" => keep(&mut release.vars, self.var(node), |var| &var.name.value),
                "pool" => keep(&mut release.pools, self.pool(node), |pool| &pool.name.value),
                "registry" => {
                    keep(&mut release.registries, self.registry(node), |registry| &registry.name.value);
                }
                "builder" => keep(&mut release.builders, self.builder(node), |builder| &builder.name.value),
                "target" => keep(&mut release.targets, self.target(node), |target| &target.name.value),
                "image" => keep(&mut release.images, self.image(node), |image| &image.name.value),
                "stage" => keep(&mut release.stages, self.stage(node), |stage| &stage.name.value),
                _ if loaded.prefix.is_empty() => self.of_project(node, release),
                _ => self.not_of_project(node),
            }
        }
    }
}

/// Adds a declaration under its name; of two with one name the first stays.
fn keep<T>(all: &mut IndexMap<String, T>, new: Option<T>, name: impl Fn(&T) -> &String) {
    if let Some(new) = new {
        all.entry(name(&new).clone()).or_insert(new);
    }
}
