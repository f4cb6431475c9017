//! Bringing an image from one place to another.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::diagnostic::{Code, Problem, bytes, counted};
use crate::oci::{Descriptor, Digest, Index, Manifest, media_type};
use crate::store::blob::unusable;
use crate::store::registry::{Delivery, Offer};
use crate::store::whole::{Part, missing, read_back};
use crate::store::{Layout, Question, Repository, all};

/// How many blobs are under way at once.
const AT_ONCE: usize = 4;
/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;
/// How many manifests an image may have.
const MAX_MANIFESTS: usize = 1000;

/// How far a copy has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of blobs that are there.
    pub done: u64,
    /// Bytes of all blobs of the image.
    pub total: u64,
}

/// Is told how far a copy has come, from any thread, often.
pub type Observe = Arc<dyn Fn(Progress) + Send + Sync>;

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Blobs that the registry had in another repository.
    pub mounted: usize,
    /// Blobs that were there.
    pub present: usize,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, sent_bytes, mounted, present } = *self;
        let parts = [
            (sent, format!(" sent, {}", bytes(sent_bytes))),
            (mounted, " taken from another repository".to_owned()),
            (present, " there before".to_owned()),
        ];
        for (at, (count, part)) in parts.into_iter().filter(|(count, _)| *count > 0).enumerate() {
            // What is counted is said once.
            let count = if at == 0 { counted(count, "blob") } else { format!(", {count}") };
            write!(f, "{count}{part}")?;
        }
        Ok(())
    }
}

/// Counts the bytes of a copy.
pub struct Meter {
    done: AtomicU64,
    total: u64,
    observe: Observe,
}

impl Meter {
    fn new(total: u64, observe: Observe) -> Self {
        Self { done: 0.into(), total, observe }
    }

    /// How many bytes are there so far.
    #[cfg(test)]
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Counts for nobody.
    pub(super) fn silent() -> Self {
        Self::new(0, Arc::new(|_| ()))
    }

    pub(super) fn add(&self, count: u64) {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        (self.observe)(Progress { done: done.min(self.total), total: self.total });
    }

    pub(super) fn take_back(&self, count: u64) {
        self.done.fetch_sub(count, Ordering::Relaxed);
    }
}

/// All that an image consists of.
#[derive(Debug, Default)]
struct Contents {
    /// Configurations and layers, each once.
    blobs: Vec<Part>,
    /// Manifests and indexes with their bytes, level by level: the image itself, then what
    /// that names.
    levels: Vec<Vec<(Descriptor, Vec<u8>)>>,
}

impl Contents {
    /// All of it that a registry has to have.
    fn parts(&self) -> Vec<Part> {
        let manifests = self.levels.iter().flatten().map(|(one, _)| Part::document(one));
        self.blobs.iter().cloned().chain(manifests).collect()
    }

    /// Leaves only what is missing.
    fn retain(&mut self, missing: &[Part]) {
        let left: HashSet<Digest> = missing.iter().map(|part| part.descriptor.digest).collect();
        self.blobs.retain_mut(|part| {
            part.is_missing = left.contains(&part.descriptor.digest);
            part.is_missing
        });
        for level in &mut self.levels {
            level.retain(|(one, _)| left.contains(&one.digest));
        }
    }
}

/// Copies a manifest, or an index with all that it names, by digest: blobs
/// first, then what names them, the image itself last. What is there is not
/// sent again. No name is set.
///
/// A registry then has all of it: where it has the image, each part is looked for, and
/// those that it lost are sent; and what was sent is read back, layers but for their size.
///
/// # Errors
/// Something of the image is missing or damaged, here or there; one of the places cannot be
/// reached or refuses.
pub async fn copy(
    from: &Repository,
    image: &Descriptor,
    to: &Repository,
    observe: Observe,
) -> Result<Copied, Problem> {
    let document = from.read(image).await?;
    copy_read(from, (image, document), to, observe).await
}

/// As [`copy`], of an image whose manifest or index was read.
///
/// # Errors
/// As [`copy`].
pub async fn copy_read(
    from: &Repository,
    (image, document): (&Descriptor, Vec<u8>),
    to: &Repository,
    observe: Observe,
) -> Result<Copied, Problem> {
    let is_known = async {
        match (from, to) {
            (_, Repository::Layout(_)) => Ok(false),
            (Repository::Registry(_), Repository::Registry(registry)) if !from.is_same(to) => {
                registry.has(image).await
            }
            // What it consists of is known at once: it takes no longer to look for all of it.
            (_, Repository::Registry(_)) => Ok(true),
        }
    };
    let (mut contents, is_known) = tokio::try_join!(contents(from, image, document), is_known)?;
    let count = contents.blobs.len();
    let total = contents.blobs.iter().map(|blob| blob.descriptor.size).sum();
    let meter = Arc::new(Meter::new(total, observe));
    // Of an image that is not known, each blob is asked for when its turn comes.
    if let Repository::Registry(registry) = to
        && is_known
    {
        // Documents that were just read there are there.
        let parts = if from.is_same(to) { contents.blobs.clone() } else { contents.parts() };
        contents.retain(&missing(registry, parts).await?);
        meter.add(total - contents.blobs.iter().map(|blob| blob.descriptor.size).sum::<u64>());
    }
    let present = count - contents.blobs.len();
    let copied = send(from, contents, to, &meter).await?;
    Ok(Copied { present: copied.present + present, ..copied })
}

/// Brings blobs, and then what names them. From a registry all of it is read back.
async fn send(
    from: &Repository,
    Contents { blobs, levels }: Contents,
    to: &Repository,
    meter: &Arc<Meter>,
) -> Result<Copied, Problem> {
    let _hold = match to {
        Repository::Layout(layout) => {
            let layout = layout.clone();
            blocking(move || Ok(layout.hold())).await?
        }
        Repository::Registry(_) => None,
    };
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for blob in blobs.clone() {
        let (from, to, meter) = (from.clone(), to.clone(), Arc::clone(meter));
        let permits = Arc::clone(&permits);
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let delivery = bring(&from, &blob, &to, &meter).await?;
            Ok::<_, Problem>((delivery, blob.descriptor.size))
        });
    }
    let copied = match count(&mut tasks).await {
        Ok(copied) => copied,
        Err(problem) => {
            // The first failure ends the others: they leave nothing half-written.
            tasks.shutdown().await;
            return Err(problem);
        }
    };
    match to {
        Repository::Layout(_) => put_levels(to, levels).await?,
        Repository::Registry(registry) => {
            let manifests = levels.iter().flatten().map(|(one, _)| Part::document(one)).collect();
            tokio::try_join!(put_levels(to, levels), read_back(registry, blobs))?;
            read_back(registry, manifests).await?;
        }
    }
    Ok(copied)
}

/// Puts manifests and indexes. What is named is there before what names it: images before
/// indexes, and of these each behind those that it names.
async fn put_levels(to: &Repository, levels: Vec<Vec<(Descriptor, Vec<u8>)>>) -> Result<(), Problem> {
    let all = levels.into_iter().rev().flatten();
    let (mut indexes, images): (Vec<_>, Vec<_>) =
        all.partition(|(one, _)| media_type::is_index(&one.media_type));
    put_all(to, images).await?;
    while !indexes.is_empty() {
        let left: HashSet<Digest> = indexes.iter().map(|(one, _)| one.digest).collect();
        let (later, now): (Vec<_>, Vec<_>) = indexes.into_iter().partition(|(_, bytes)| {
            let named = Index::parse(bytes).map(|index| index.manifests).unwrap_or_default();
            named.iter().any(|one| left.contains(&one.digest))
        });
        put_all(to, now).await?;
        indexes = later;
    }
    Ok(())
}

/// Puts manifests of which none names another.
async fn put_all(to: &Repository, manifests: Vec<(Descriptor, Vec<u8>)>) -> Result<(), Problem> {
    let mut puts: Vec<Question<'_, _>> = Vec::new();
    for (descriptor, bytes) in manifests {
        puts.push(Box::pin(put(to, descriptor, bytes)));
    }
    all(puts).await.map(drop)
}

/// Waits for blobs to be brought, up to the first that is not.
async fn count(tasks: &mut JoinSet<Result<(Delivery, u64), Problem>>) -> Result<Copied, Problem> {
    let mut copied = Copied::default();
    while let Some(ended) = tasks.join_next().await {
        match ended.map_err(|error| broken(&error))?? {
            (Delivery::Present, _) => copied.present += 1,
            (Delivery::Mounted, _) => copied.mounted += 1,
            (Delivery::Sent, size) => {
                copied.sent += 1;
                copied.sent_bytes += size;
            }
        }
    }
    Ok(copied)
}

/// Brings a blob from one place to another, unless it is there already.
pub(super) async fn bring(
    from: &Repository,
    part: &Part,
    to: &Repository,
    meter: &Arc<Meter>,
) -> Result<Delivery, Problem> {
    let blob = &part.descriptor;
    match (from, to) {
        (Repository::Layout(from), Repository::Registry(to)) => to.upload(from, part, meter).await,
        (Repository::Registry(from), Repository::Layout(to)) => from.download(blob, to, meter).await,
        (Repository::Layout(from), Repository::Layout(to)) => {
            let (from, to, blob) = (from.clone(), to.clone(), blob.clone());
            let meter = Arc::clone(meter);
            blocking(move || {
                let delivery = carry(&from, &blob, &to)?;
                meter.add(blob.size);
                Ok(delivery)
            })
            .await
        }
        (Repository::Registry(from), Repository::Registry(to)) => {
            from.note(blob);
            let session = match to.offer(part, meter).await? {
                Offer::Settled(delivery) => return Ok(delivery),
                Offer::Open(session) => session,
            };
            // What arrives is verified before any of it is sent on.
            match from.stage(blob).await {
                Ok((between, _directory)) => to.deliver(&between, blob, session, meter).await,
                Err(problem) => {
                    to.give_up(session).await;
                    Err(problem)
                }
            }
        }
    }
}

/// Copies a blob from directory to directory.
fn carry(from: &Layout, blob: &Descriptor, to: &Layout) -> Result<Delivery, Problem> {
    if to.has_whole(blob) {
        return Ok(Delivery::Present);
    }
    let mut writer = to.writer()?;
    let mut reader = from.open_blob(blob)?;
    let copied = io::copy(&mut reader, &mut io::BufWriter::with_capacity(1 << 20, &mut writer));
    copied
        .map_err(|error| from.verify(blob).err().unwrap_or_else(|| unusable("copy to", to.path(), &error)))?;
    writer.commit_as(blob)?;
    Ok(Delivery::Sent)
}

/// Puts a manifest: to ask first whether it is there takes as long.
async fn put(to: &Repository, one: Descriptor, bytes: Vec<u8>) -> Result<(), Problem> {
    match to {
        Repository::Registry(registry) => registry.put_new(&one, &bytes).await,
        Repository::Layout(layout) => {
            let (layout, media_type) = (layout.clone(), one.media_type.clone());
            blocking(move || layout.write(&media_type, &bytes).map(drop)).await
        }
    }
}

/// Reads what an image consists of, whose manifest or index this is.
async fn contents(from: &Repository, image: &Descriptor, document: Vec<u8>) -> Result<Contents, Problem> {
    let mut contents = Contents::default();
    let mut seen = HashSet::from([image.digest]);
    let mut level = vec![(image.clone(), document)];
    let mut count = 1;
    for _ in 0..MAX_DEPTH {
        let mut below = Vec::new();
        for (manifest, bytes) in &level {
            let unfit = |note: String| {
                let title = format!("`{}` cannot be copied", manifest.digest);
                Problem::new(Code::Registry, title).note(note)
            };
            if media_type::is_index(&manifest.media_type) {
                let index = Index::parse_all(bytes).map_err(|error| unfit(error.to_string()))?;
                below.extend(index.manifests.into_iter().filter(|one| seen.insert(one.digest)));
                if count + below.len() > MAX_MANIFESTS {
                    return Err(unfit("it names too many manifests".to_owned()));
                }
            } else {
                let parsed = Manifest::parse(bytes).map_err(|error| unfit(error.to_string()))?;
                let layers = parsed.layers.iter().map(Part::layer);
                for part in std::iter::once(Part::document(&parsed.config)).chain(layers) {
                    let blob = &part.descriptor;
                    // A layer that may not be distributed is fetched from its own address.
                    let elsewhere = blob.unknown.contains_key("urls") && !from.has(blob).await?;
                    if !elsewhere && seen.insert(blob.digest) {
                        contents.blobs.push(part);
                    }
                }
            }
        }
        contents.levels.push(level);
        if below.is_empty() {
            return Ok(contents);
        }
        count += below.len();
        level = read_all(from, below).await?;
    }
    let title = format!("`{}` cannot be copied", image.digest);
    Err(Problem::new(Code::Registry, title).note("its indexes lie too deep in each other"))
}

/// Manifests with their bytes.
async fn read_all(
    from: &Repository,
    manifests: Vec<Descriptor>,
) -> Result<Vec<(Descriptor, Vec<u8>)>, Problem> {
    let mut reads: Vec<Question<'_, _>> = Vec::new();
    for manifest in manifests {
        reads.push(Box::pin(async move {
            let bytes = from.read(&manifest).await?;
            Ok((manifest, bytes))
        }));
    }
    all(reads).await
}

/// Does work that waits for the file system where it holds nobody up.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Problem> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))?
}

/// A task did not come to its end.
pub(super) fn broken(error: &tokio::task::JoinError) -> Problem {
    Problem::new(Code::Interrupted, "copying was stopped").note(error.to_string())
}
