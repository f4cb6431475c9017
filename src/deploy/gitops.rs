//! Deploying by a commit to a repository of manifests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::deploy::kustomize::{Pin, set_image};
use crate::deploy::manifests::{File, Manifests, Sent};
use crate::deploy::replace::replace;
use crate::deploy::unfit::Unfit;
use crate::deploy::value::{Aliases, set_value};
use crate::diagnostic::{Code, Problem, Problems, Span};
use crate::facts::{Environment, any_number};

/// How often a commit is made again because somebody else was faster.
const RACES: u32 = 50;
/// How often a remote may refuse a commit although nobody was faster.
const REFUSALS: u32 = 3;
/// What a kustomization may be called.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A branch of manifests, and how it is to be edited.
#[derive(Clone, Debug)]
pub struct Gitops {
    /// Where the repository is, as git takes it; the project's own if there is none.
    pub repo: Option<String>,
    /// The remote of the project's own repository, if it has one.
    pub remote: Option<String>,
    /// The branch; the repository's default if there is none.
    pub branch: Option<String>,
    /// The edits, in order.
    pub edits: Vec<FileEdit>,
    /// Message of the commit.
    pub message: String,
    /// The deployment in the source.
    pub span: Span,
}

/// An edit of a file.
#[derive(Clone, Debug)]
pub struct FileEdit {
    /// Path below the repository, of a kustomization its directory.
    pub path: String,
    /// What is changed.
    pub change: Change,
    /// The edit in the source.
    pub span: Span,
}

/// What is changed in a file.
#[derive(Clone, Debug)]
pub enum Change {
    /// An entry of `images`.
    Image {
        /// Its name.
        name: String,
        /// The repository of the image.
        repository: String,
        /// A tag of it that never moves.
        tag: Option<String>,
        /// Its digest.
        digest: String,
        /// Whether the digest is said in any case.
        by_digest: bool,
    },
    /// One value.
    Value {
        /// Its path.
        path: String,
        /// The new one.
        value: String,
        /// Whether aliases of it may change.
        aliases: Aliases,
    },
    /// What an expression matches.
    Pattern {
        /// The expression.
        expression: String,
        /// What stands in its place.
        with: String,
    },
}

/// What became of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The manifests say so already.
    Nothing,
    /// By this commit on this branch.
    Commit {
        /// As hex digits.
        id: String,
        /// The branch.
        branch: String,
        /// The repository, as a user would name it.
        repository: String,
    },
}

impl Gitops {
    /// Makes sure that the manifests can be fetched and edited.
    ///
    /// # Errors
    /// All of what is wrong.
    pub fn check(&self, root: &Path, environment: &Environment) -> Result<(), Problems> {
        let manifests = self.open(root, environment)?;
        let tip = manifests.fetch().map_err(|problem| self.here(problem))?;
        self.edited(&manifests, &tip).map(drop)
    }

    /// Edits the manifests and pushes a commit, on top of what others commit meanwhile.
    ///
    /// # Errors
    /// They cannot be fetched or edited; the remote does not take the commit.
    pub fn deploy(&self, root: &Path, environment: &Environment) -> Result<Committed, Problems> {
        let manifests = self.open(root, environment)?;
        let (mut refusals, mut seen, mut made) = (0, String::new(), None::<String>);
        for race in 0..RACES {
            let tip = manifests.fetch().map_err(|problem| self.here(problem))?;
            let committed = |id: &str| Committed::Commit {
                id: id.to_owned(),
                branch: manifests.branch.clone(),
                repository: manifests.name(),
            };
            if made.as_ref() == Some(&tip) {
                // It was taken, and the answer was lost.
                return Ok(committed(&tip));
            }
            let files = self.edited(&manifests, &tip)?;
            if files.is_empty() {
                return Ok(Committed::Nothing);
            }
            let commit =
                manifests.commit(&tip, &files, &self.message).map_err(|problem| self.here(problem))?;
            made = Some(commit.clone());
            match manifests.send(&tip, &commit)? {
                Sent::Taken => return Ok(committed(&commit)),
                Sent::Refused(why) => {
                    refusals = if seen == tip { refusals + 1 } else { 1 };
                    seen = tip;
                    if refusals >= REFUSALS || race + 1 == RACES {
                        return Err(self.here(not_taken(&manifests, &why)).into());
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(20 + any_number() % (50 * u64::from(race + 1).min(10))));
        }
        Ok(Committed::Nothing)
    }

    pub(super) fn open(&self, root: &Path, environment: &Environment) -> Result<Manifests, Problem> {
        Manifests::open(root, environment, self).map_err(|problem| self.here(problem))
    }

    /// The files that the edits change, as they are then.
    ///
    /// # Errors
    /// All edits that cannot be done.
    pub(super) fn edited(
        &self,
        manifests: &Manifests,
        tip: &str,
    ) -> Result<BTreeMap<String, File>, Problems> {
        let mut files: BTreeMap<String, (File, File)> = BTreeMap::new();
        let mut problems = Problems::new();
        for edit in &self.edits {
            let done = edit.path_in(manifests, tip).and_then(|path| {
                if !files.contains_key(&path) {
                    let file = manifests.read(tip, &path)?;
                    files.insert(path.clone(), (file.clone(), file));
                }
                if let Some((_, file)) = files.get_mut(&path) {
                    file.text = edit.change.of(&file.text).map_err(|Unfit { why, help }| {
                        Problem::new(Code::Manifest, format!("`{path}` cannot be edited: {why}"))
                            .maybe_help(help)
                    })?;
                }
                Ok(())
            });
            problems.take(done.map_err(|problem| labelled(problem, edit.span, "edited by this")));
        }
        let changed = files.into_iter().filter(|(_, (before, after))| before != after);
        let changed = changed.map(|(path, (_, after))| (path, after)).collect();
        problems.or(changed)
    }

    pub(super) fn here(&self, problem: Problem) -> Problem {
        labelled(problem, self.span, "deployed by this")
    }
}

impl FileEdit {
    /// The file that is edited.
    pub(super) fn path_in(&self, manifests: &Manifests, tip: &str) -> Result<String, Problem> {
        if !matches!(self.change, Change::Image { .. }) {
            return Ok(self.path.clone());
        }
        let (above, last) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let directory = if KUSTOMIZATIONS.contains(&last) {
            above
        } else if [".yaml", ".yml"].iter().any(|end| last.ends_with(end)) {
            return Ok(self.path.clone());
        } else {
            &self.path
        };
        let join =
            |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        let found = manifests.find(tip, &KUSTOMIZATIONS.map(join))?;
        if found.len() > 1 {
            let found: Vec<_> = found.iter().map(|path| format!("`{path}`")).collect();
            let title = format!("there are {}, and a directory has one kustomization", found.join(" and "));
            return Err(Problem::new(Code::Manifest, title)
                .note("`kustomize build` refuses such a directory")
                .help("remove all of them but one"));
        }
        if KUSTOMIZATIONS.contains(&last) {
            return Ok(self.path.clone());
        }
        Ok(found.into_iter().next().unwrap_or_else(|| join(KUSTOMIZATIONS[0])))
    }
}

impl Change {
    pub(super) fn of(&self, text: &str) -> Result<String, Unfit> {
        match self {
            Self::Image { name, repository, tag, digest, by_digest } => {
                let pin = Pin { repository, tag: tag.as_deref(), digest, by_digest: *by_digest };
                set_image(text, name, pin)
            }
            Self::Value { path, value, aliases } => set_value(text, path, value, *aliases),
            Self::Pattern { expression, with } => replace(text, expression, with),
        }
    }
}

pub(super) fn labelled(problem: Problem, span: Span, text: &str) -> Problem {
    if problem.labels.is_empty() { problem.label(span, text) } else { problem }
}

pub(super) fn not_taken(manifests: &Manifests, why: &str) -> Problem {
    let title = format!("`{}` does not take the commit", manifests.name());
    Problem::new(Code::ManifestRepository, title)
        .note(why.to_owned())
        .help(format!("whoever releases must be allowed to push to `{}`", manifests.branch))
}
