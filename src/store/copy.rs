//! Bringing an image from a layout to another place.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::diagnostic::{Code, Problem};
use crate::oci::{Descriptor, Digest, Index, Manifest, media_type};
use crate::store::blob::unusable;
use crate::store::registry::Delivery;
use crate::store::{Layout, Repository};

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
    blobs: Vec<Descriptor>,
    /// Manifests and indexes with their bytes, each behind those that it names.
    manifests: Vec<(Descriptor, Vec<u8>)>,
}

/// Copies a manifest, or an index with all that it names, by digest: blobs
/// first, then what names them, the image itself last. What is there is not
/// sent again. No name is set.
///
/// # Errors
/// Something of the image is missing or damaged; the destination cannot be
/// reached or refuses.
pub async fn copy(
    from: &Layout,
    image: &Descriptor,
    to: &Repository,
    observe: Observe,
) -> Result<Copied, Problem> {
    let source = from.clone();
    let top = image.clone();
    let Contents { blobs, manifests } = blocking(move || contents(&source, &top)).await?;
    let total = blobs.iter().map(|blob| blob.size).sum();
    let meter = Arc::new(Meter::new(total, observe));
    if let Repository::Registry(registry) = to
        && registry.has(image).await?
    {
        // A registry takes an image only after all that it names.
        meter.add(total);
        return Ok(Copied { present: blobs.len(), ..Copied::default() });
    }
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for blob in blobs {
        let (from, to, meter) = (from.clone(), to.clone(), Arc::clone(&meter));
        let permits = Arc::clone(&permits);
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let delivery = bring(&from, &blob, &to, &meter).await?;
            Ok::<_, Problem>((delivery, blob.size))
        });
    }
    let mut copied = Copied::default();
    while let Some(ended) = tasks.join_next().await {
        // The first failure ends the others: dropping the set stops them.
        match ended.map_err(|error| broken(&error))?? {
            (Delivery::Present, _) => copied.present += 1,
            (Delivery::Mounted, _) => copied.mounted += 1,
            (Delivery::Sent, size) => {
                copied.sent += 1;
                copied.sent_bytes += size;
            }
        }
    }
    for (descriptor, bytes) in manifests {
        put(to, descriptor, bytes).await?;
    }
    Ok(copied)
}

async fn bring(
    from: &Layout,
    blob: &Descriptor,
    to: &Repository,
    meter: &Arc<Meter>,
) -> Result<Delivery, Problem> {
    match to {
        Repository::Registry(registry) => registry.upload(from, blob, meter).await,
        Repository::Layout(layout) => {
            let (from, to, blob) = (from.clone(), layout.clone(), blob.clone());
            let meter = Arc::clone(meter);
            blocking(move || {
                let delivery = if to.holds(&blob) {
                    Delivery::Present
                } else {
                    let mut writer = to.writer()?;
                    let mut reader = from.open_blob(&blob)?;
                    let copied =
                        io::copy(&mut reader, &mut io::BufWriter::with_capacity(1 << 20, &mut writer));
                    copied.map_err(|error| {
                        let problem = unusable("copy to", to.path(), &error);
                        let damaged = error.kind() == io::ErrorKind::InvalidData;
                        problem.maybe_help(damaged.then(|| "remove the file and run again".to_owned()))
                    })?;
                    writer.commit_as(&blob)?;
                    Delivery::Sent
                };
                meter.add(blob.size);
                Ok(delivery)
            })
            .await
        }
    }
}

async fn put(to: &Repository, descriptor: Descriptor, bytes: Vec<u8>) -> Result<(), Problem> {
    match to {
        Repository::Registry(registry) => {
            if registry.has(&descriptor).await? {
                return Ok(());
            }
            registry.put(&descriptor.digest.to_string(), &descriptor, &bytes).await
        }
        Repository::Layout(layout) => {
            let layout = layout.clone();
            blocking(move || layout.write(&descriptor.media_type, &bytes).map(drop)).await
        }
    }
}

/// Reads what an image consists of.
fn contents(from: &Layout, image: &Descriptor) -> Result<Contents, Problem> {
    let mut contents = Contents::default();
    let mut seen = HashSet::new();
    gather(from, image, MAX_DEPTH, &mut seen, &mut contents)?;
    Ok(contents)
}

fn gather(
    from: &Layout,
    image: &Descriptor,
    depth: usize,
    seen: &mut HashSet<Digest>,
    contents: &mut Contents,
) -> Result<(), Problem> {
    if !seen.insert(image.digest) {
        return Ok(());
    }
    let unfit = |note: String| {
        Problem::new(Code::Registry, format!("`{}` cannot be copied", image.digest)).note(note)
    };
    if depth == 0 || contents.manifests.len() >= MAX_MANIFESTS {
        return Err(unfit("it names too many manifests".to_owned()));
    }
    let bytes = from.read(image)?;
    if media_type::is_index(&image.media_type) {
        let index = Index::parse(&bytes).map_err(|error| unfit(error.to_string()))?;
        for manifest in &index.manifests {
            gather(from, manifest, depth - 1, seen, contents)?;
        }
    } else {
        let manifest = Manifest::parse(&bytes).map_err(|error| unfit(error.to_string()))?;
        for blob in std::iter::once(manifest.config).chain(manifest.layers) {
            // A layer that may not be distributed is fetched from its own address.
            let elsewhere = blob.unknown.contains_key("urls") && !from.has(&blob.digest);
            if !elsewhere && seen.insert(blob.digest) {
                contents.blobs.push(blob);
            }
        }
    }
    contents.manifests.push((image.clone(), bytes));
    Ok(())
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
fn broken(error: &tokio::task::JoinError) -> Problem {
    Problem::new(Code::Interrupted, "copying was stopped").note(error.to_string())
}
