//! Copying an image from one place to another, by digest.

use std::path::PathBuf;

use crate::diagnostic::{Code, Problem, nearest};
use crate::inspect::for_platform;
use crate::oci::{Descriptor, Digest, LATEST, Platform, Reference, Tag};
use crate::plan::RegistryPlan;
use crate::release::lag::{PATIENCE, read_back};
use crate::release::likeness::{explain_latest, image_meant};
use crate::release::publisher::Publisher;
use crate::seal::{Along, copy_along};
use crate::store::{Copied, Layout, Observe, Repository, copy_read};

/// An image in a directory or at a registry.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// In a layout.
    Layout {
        /// Its directory; what is copied to it makes it.
        path: PathBuf,
        /// Tag or digest; without it, the only image of the layout.
        name: Option<String>,
    },
    /// At a registry.
    Registry {
        /// The image.
        reference: Reference,
        /// How its registry is reached.
        registry: Box<RegistryPlan>,
    },
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq)]
pub struct Transferred {
    /// The index or manifest.
    pub image: Descriptor,
    /// What was sent, and what was there.
    pub copied: Copied,
    /// What vouches for it and came along; none where it was left behind.
    pub along: Option<Along>,
    /// Where it is now, as a user would name the place.
    pub repository: String,
    /// The tag that points to it now, unless only its digest names it.
    pub tag: Option<Tag>,
    /// What that tag pointed to before.
    pub before: Option<Digest>,
}

/// An image that was found, to be copied to any number of places.
#[derive(Clone, Debug)]
pub struct Source {
    repository: Repository,
    image: Descriptor,
    /// Its manifest or index.
    document: Vec<u8>,
    /// The tag that a place gets that names none.
    tag: Option<Tag>,
}

/// A place that has all that an image consists of, and no name for it yet.
#[derive(Clone, Debug)]
pub struct Delivered {
    repository: Repository,
    copied: Copied,
    along: Option<Along>,
    /// What the tag held that it will get, if it gets one.
    held: Option<Digest>,
}

impl Delivered {
    /// Whether something had to be brought there, which takes its time.
    #[must_use]
    pub fn took_long(&self) -> bool {
        self.copied.sent + self.copied.mounted + self.along.map_or(0, |along| along.brought) > 0
    }
}

impl End {
    /// Its repository, to be read from.
    ///
    /// # Errors
    /// There is no such layout; what the release file says of the registry is wrong.
    pub async fn open_to_read(&self, publisher: &Publisher) -> Result<Repository, Problem> {
        match self {
            Self::Layout { path, .. } => Layout::open(path).map(Repository::Layout),
            Self::Registry { registry, .. } => publisher.open_to_read(registry).await,
        }
    }

    /// Its repository, to be changed; a layout must exist.
    ///
    /// # Errors
    /// As [`open_to_read`](Self::open_to_read).
    pub async fn open(&self, publisher: &Publisher) -> Result<Repository, Problem> {
        match self {
            Self::Layout { path, .. } => Layout::open(path).map(Repository::Layout),
            Self::Registry { registry, .. } => publisher.open(registry).await,
        }
    }

    /// What it names in its repository.
    ///
    /// # Errors
    /// There is no such image; the place cannot be read.
    pub async fn find(&self, repository: &Repository) -> Result<Descriptor, Problem> {
        let name = match (self.name(), repository) {
            (None, Repository::Layout(layout)) => return layout.only(),
            (name, _) => name.unwrap_or_default(),
        };
        if let Some(found) = repository.resolve(&name).await? {
            return Ok(found);
        }
        let missing =
            |place: &str| Problem::new(Code::NotFound, format!("there is no image `{name}` in `{place}`"));
        match repository {
            Repository::Layout(layout) => {
                let names: Vec<_> = layout.refs()?.into_iter().map(|(name, _)| name).collect();
                let place = format!("oci:{}", layout.path().display());
                let help = match nearest(&name, names.iter().map(String::as_str)) {
                    Some(meant) => Some(format!("did you mean `{meant}`?")),
                    None => (!names.is_empty()).then(|| format!("it has {}", names.join(", "))),
                };
                Err(missing(&place).maybe_help(help))
            }
            Repository::Registry(registry) => {
                let problem = missing(&registry.name().to_string());
                let problem = problem.maybe_help(image_meant(registry, &name).await);
                Err(match self {
                    Self::Registry { reference, .. } => explain_latest(reference, problem),
                    Self::Layout { .. } => problem,
                })
            }
        }
    }

    /// The image that is meant in a place that is open, and its manifest or index.
    ///
    /// # Errors
    /// As [`find`](Self::find); the document is not what its digest says.
    pub async fn fetch(&self, repository: &Repository) -> Result<(Descriptor, Vec<u8>), Problem> {
        if let Some(name) = self.name()
            && let Some(found) = repository.resolve_and_read(&name).await?
        {
            return Ok(found);
        }
        let image = self.find(repository).await?;
        let document = repository.read(&image).await?;
        Ok((image, document))
    }

    /// Its tag, if one is given.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Layout { name, .. } => name.as_ref()?.parse().ok(),
            Self::Registry { reference, .. } => reference.tag.clone(),
        }
    }

    /// Its digest, if that is part of its name.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Layout { name, .. } => name.as_ref()?.parse().ok(),
            Self::Registry { reference, .. } => reference.digest,
        }
    }

    /// Tag or digest, as its place takes it; `None` for the only one there.
    fn name(&self) -> Option<String> {
        match self {
            Self::Layout { name, .. } => name.clone(),
            Self::Registry { reference, .. } => Some(reference.name()),
        }
    }
}

impl Source {
    /// Finds an image; of an index, the image for a platform if one is given.
    ///
    /// The tag that goes with it is the one that it is named by: where it is named by
    /// nothing, `latest` at a registry, and the only tag of the only image of a layout.
    ///
    /// # Errors
    /// There is no such image; the place cannot be read; what is there is not what its
    /// digest, or the index that names it, says.
    pub async fn find(
        from: &End,
        platform: Option<&Platform>,
        publisher: &Publisher,
    ) -> Result<Self, Problem> {
        let repository = from.open_to_read(publisher).await?;
        let (mut image, mut document) = from.fetch(&repository).await?;
        let tag = match (from, &repository) {
            (End::Layout { name: None, .. }, Repository::Layout(layout)) => {
                let tags = layout.refs()?.into_iter().filter(|(_, named)| named.digest == image.digest);
                let tags: Vec<_> = tags.filter_map(|(name, _)| name.parse().ok()).collect();
                <[Tag; 1]>::try_from(tags).ok().map(|[only]| only)
            }
            (End::Registry { reference, .. }, _) if reference.is_bare() => LATEST.parse().ok(),
            _ => from.tag(),
        };
        if let Some(platform) = platform {
            (image, document) = for_platform(&repository, (&image, document), platform).await?;
        }
        Ok(Self { repository, image, document, tag })
    }

    /// The index or manifest.
    #[must_use]
    pub const fn image(&self) -> &Descriptor {
        &self.image
    }

    /// The tag that it gets in a place: the one that the place is named with, else its
    /// own. None where the place is named with a digest.
    #[must_use]
    pub fn tag_in(&self, to: &End) -> Option<Tag> {
        to.tag().or_else(|| self.tag.clone().filter(|_| to.digest().is_none()))
    }

    /// What the tag of [`tag_in`](Self::tag_in) holds in a place now.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn held(&self, to: &End, publisher: &Publisher) -> Result<Option<Digest>, Problem> {
        let is_made = !matches!(to, End::Layout { path, .. } if !path.join("oci-layout").exists());
        let Some(tag) = self.tag_in(to).filter(|_| is_made) else { return Ok(None) };
        let repository = to.open_to_read(publisher).await?;
        Ok(repository.resolve(tag.as_str()).await?.map(|held| held.digest))
    }

    /// Copies it with all that it names: of an index, every platform. What is there
    /// already is not sent again, and no name is set: nobody sees it yet. With `along`, all
    /// that refers to it, and to its manifests, comes with it.
    ///
    /// # Errors
    /// A part of it is missing or damaged; one of the places cannot be reached or
    /// refuses; `to` names another digest.
    pub async fn deliver(
        &self,
        to: &End,
        publisher: &Publisher,
        along: bool,
        observe: Observe,
    ) -> Result<Delivered, Problem> {
        if to.digest().is_some_and(|digest| digest != self.image.digest) {
            let title = format!("`{}` cannot become another image", shown(to));
            let problem = Problem::new(Code::DigestMismatch, title);
            return Err(problem.note(format!("what is copied is {}", self.image.digest)));
        }
        let repository = match to {
            End::Layout { path, .. } => Repository::Layout(Layout::create(path)?),
            End::Registry { registry, .. } => publisher.open(registry).await?,
        };
        let read = (&self.image, self.document.clone());
        let bring = async {
            if along {
                let (copied, along) = copy_along(&self.repository, read, &repository, observe).await?;
                return Ok((copied, Some(along)));
            }
            Ok((copy_read(&self.repository, read, &repository, observe).await?, None))
        };
        let held = async {
            let Some(tag) = self.tag_in(to) else { return Ok(None) };
            Ok(repository.resolve(tag.as_str()).await?.map(|held| held.digest))
        };
        let ((copied, along), held) = tokio::try_join!(bring, held)?;
        Ok(Delivered { repository, copied, along, held })
    }

    /// Makes it visible where it was delivered: sets the tag of [`tag_in`](Self::tag_in),
    /// and reads it back. Without one, a layout lists it without a name. If it took long to
    /// deliver it everywhere, a tag that held it before `is_looked_at` again.
    ///
    /// # Errors
    /// The place refuses, or cannot be reached; [`Code::HalfReleased`]: whether the tag
    /// was set is not known.
    pub async fn name(
        &self,
        to: &End,
        delivered: Delivered,
        is_looked_at: bool,
    ) -> Result<Transferred, Problem> {
        let Delivered { repository: target, copied, along, held } = delivered;
        let tag = self.tag_in(to);
        let name = tag.as_ref().map_or_else(|| self.image.digest.to_string(), Tag::to_string);
        let mut before = held;
        if let Some(tag) = &tag {
            // What it held already, somebody may have taken from it meanwhile.
            if is_looked_at && before == Some(self.image.digest) {
                before = target.resolve(&name).await?.map(|held| held.digest);
            }
            // Whoever names a tag here wants it to be this image.
            while before != Some(self.image.digest) && !self.swap(&target, to, tag, before).await? {
                before = target.resolve(&name).await?.map(|held| held.digest);
            }
        } else if let Repository::Layout(layout) = &target {
            // Nobody finds there what the index does not list.
            layout.list(&self.image)?;
        }
        if before != Some(self.image.digest) {
            let found = read_back(&target, &name, (before, self.image.digest), PATIENCE).await?;
            if found != Some(self.image.digest) {
                return Err(not_shown(to, &name, found));
            }
        }
        let repository = match to {
            End::Registry { reference, .. } => reference.repository.to_string(),
            End::Layout { .. } => shown(to),
        };
        Ok(Transferred { image: self.image.clone(), copied, along, repository, tag, before })
    }

    /// Sets a tag; `false` if it is known not to hold what is expected any more.
    async fn swap(
        &self,
        target: &Repository,
        to: &End,
        tag: &Tag,
        from: Option<Digest>,
    ) -> Result<bool, Problem> {
        let problem = match target.set_tag(tag, from, (&self.image, &self.document)).await {
            Ok(swapped) => return Ok(swapped),
            Err(problem) => problem,
        };
        // It may be the answer that was lost, and not the tag.
        match target.resolve(tag.as_str()).await.map(|found| found.map(|found| found.digest)) {
            Ok(found) if found == Some(self.image.digest) => Ok(true),
            Ok(found) if found == from => Err(problem),
            _ => {
                let unknown = format!("whether `{}` was set to `{tag}` is not known", shown(to));
                Err(Problem { code: Code::HalfReleased, ..problem }.note(unknown))
            }
        }
    }
}

/// The registry took an image, and does not show it under its name.
fn not_shown(to: &End, name: &str, found: Option<Digest>) -> Problem {
    let title = format!("`{}` was set to `{name}`, and that is not shown there", shown(to));
    let shown = found.map_or("it is not there".to_owned(), |found| format!("it holds {found}"));
    Problem::new(Code::HalfReleased, title)
        .note(format!("the registry took it, and says up to {} s later that {shown}", PATIENCE.as_secs()))
        .help("run again: what is there is not sent twice")
}

/// The place of an image, as a user would name it.
#[must_use]
pub fn shown(end: &End) -> String {
    match end {
        End::Layout { path, .. } => format!("oci:{}", path.display()),
        End::Registry { reference, .. } => reference.to_string(),
    }
}
