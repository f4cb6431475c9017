//! What manifests say, against what deployments have them say.

use std::collections::BTreeMap;
use std::path::Path;

use crate::deploy::gitops::Gitops;
use crate::deploy::manifests::Manifests;
use crate::diagnostic::{Problem, Problems};
use crate::facts::Environment;

/// Most files that hoist is thought to have edited by itself.
const MOST: usize = 100;

/// A file of manifests that does not say what it has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The repository, as a user would name it.
    pub repository: String,
    /// Its branch.
    pub branch: String,
    /// The file, below the repository.
    pub path: String,
    /// The first line that says something else, and what it has to say; none where there are
    /// lines too many or too few.
    pub line: Option<(String, String)>,
}

impl Gitops {
    /// What the edits would change in the manifests.
    ///
    /// # Errors
    /// The manifests cannot be fetched or edited.
    pub fn differences(&self, root: &Path, environment: &Environment) -> Result<Vec<Difference>, Problems> {
        let manifests = self.open(root, environment)?;
        let tip = manifests.fetch()?;
        let edited = self.edited(&manifests, &tip)?;
        let differences = edited.into_iter().map(|(path, meant)| {
            let says = manifests.read(&tip, &path)?;
            Ok(Difference {
                repository: manifests.name(),
                branch: manifests.branch.clone(),
                line: first_line(&says.text, &meant.text),
                path,
            })
        });
        Ok(differences.collect::<Result<_, Problem>>()?)
    }

    /// Does its edits to files that were read of a commit, as far as they are among these.
    fn apply(
        &self,
        manifests: &Manifests,
        commit: &str,
        texts: &mut BTreeMap<String, String>,
    ) -> Result<(), Problem> {
        for edit in &self.edits {
            let path = edit.path_in(manifests, commit)?;
            if let Some(text) = texts.get_mut(&path)
                && let Ok(edited) = edit.change.of(text)
            {
                *text = edited;
            }
        }
        Ok(())
    }
}

/// The files in which two commits of the project differ.
#[derive(Debug)]
pub struct Changed {
    manifests: Manifests,
    old: String,
    new: String,
    /// Their paths below the repository: at least one, and no more than deployments may edit.
    pub paths: Vec<String>,
}

impl Changed {
    /// What a commit changed of another one, which is fetched from the `remote` of the project
    /// where a shallow clone does not have it. None where that is nothing, or more than
    /// deployments do, or not known.
    ///
    /// # Errors
    /// There is no git, or no repository.
    pub fn between(
        (root, environment): (&Path, &Environment),
        remote: Option<&str>,
        (old, new): (&str, &str),
    ) -> Result<Option<Self>, Problem> {
        let manifests = Manifests::own(root, environment, remote)?;
        let paths = manifests.changed(old, new, MOST)?.filter(|paths| !paths.is_empty());
        Ok(paths.map(|paths| Self { manifests, old: old.to_owned(), new: new.to_owned(), paths }))
    }

    /// Whether all of it is what these deployments make of the files.
    ///
    /// # Errors
    /// There is no git; a file that they edit is not there.
    pub fn is_made_by(&self, deployments: &[Gitops]) -> Result<bool, Problem> {
        let Self { manifests, old, new, paths } = self;
        let (mut texts, mut wanted) = (BTreeMap::new(), BTreeMap::new());
        for path in paths {
            // What is new, gone, or no text was not edited.
            let (Ok(before), Ok(after)) = (manifests.read(old, path), manifests.read(new, path)) else {
                return Ok(false);
            };
            if before.mode != after.mode {
                return Ok(false);
            }
            texts.insert(path.clone(), before.text);
            wanted.insert(path.clone(), after.text);
        }
        let own = manifests.address()?;
        // What others have is no file of the project.
        let is_own = |deployment: &&Gitops| deployment.repo.is_none() || deployment.repo == own;
        for deployment in deployments.iter().filter(is_own) {
            deployment.apply(manifests, old, &mut texts)?;
        }
        Ok(texts == wanted)
    }
}

/// The first line of a text that is another one in a text of as many lines.
fn first_line(says: &str, meant: &str) -> Option<(String, String)> {
    if says.lines().count() != meant.lines().count() {
        return None;
    }
    let (says, meant) = says.lines().zip(meant.lines()).find(|(says, meant)| says != meant)?;
    Some((says.trim().to_owned(), meant.trim().to_owned()))
}
