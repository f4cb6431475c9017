//! What is measured of images, as it is told and recorded.

use serde::{Deserialize, Serialize};

use crate::config::{Budget, Waste};
use crate::engine::Weight;
use crate::engine::builder::CacheHits;
use crate::inspect::PlatformReport;

/// What is measured of the image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFigures {
    /// The image, as release.kdl names it.
    pub image: String,
    /// What it runs on: `linux/amd64`.
    pub platform: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes that are transferred for its layers.
    pub transferred: u64,
    /// Bytes of the files of all layers, unpacked, where the layers were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Of those, the bytes that a later layer replaces or deletes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasted: Option<u64>,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerFigures>,
    /// How much of it had been made before, where this step made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
    /// What its budget bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetFigures>,
    /// What was released of it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ImageBefore>,
}

/// What is measured of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFigures {
    /// Digest of the blob.
    pub digest: String,
    /// Bytes of the blob.
    pub transferred: u64,
    /// Bytes of its files, unpacked, where it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What made it, if its history says so; of a long text the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// How much of an image had been made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reused {
    /// What is counted.
    pub unit: Unit,
    /// How many there are.
    pub all: usize,
    /// So many of them had been made before.
    pub reused: usize,
}

/// What is counted of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Instructions of a Dockerfile.
    Instruction,
    /// Layers.
    Layer,
}

/// What a budget bounds, and how much of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetFigures {
    /// Bytes of its layers, unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Bound>,
    /// Layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Bound>,
    /// Bytes that are in a layer and not visible; a bound in percent is that of the size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasted: Option<Bound>,
}

/// What is used, and what may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// So much is used.
    pub used: u64,
    /// So much may be used.
    pub most: u64,
}

/// An image that was released before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBefore {
    /// What named it: a repository and a tag.
    pub name: String,
    /// When this machine released it, RFC 3339 in UTC; not known of what was found at
    /// a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes that are transferred for its layers.
    pub transferred: u64,
    /// Bytes of the files of all layers, unpacked, where they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How many layers it has.
    pub layers: usize,
}

impl ImageFigures {
    /// What the documents of an image say, and what was found when its layers were read.
    #[must_use]
    pub fn new(image: &str, report: &PlatformReport, weight: Option<&Weight>) -> Self {
        // A note of another number of layers is none of this image.
        let weight = weight.filter(|weight| weight.layers.len() == report.layers.len());
        let layer = |(at, layer): (usize, &crate::inspect::LayerReport)| LayerFigures {
            digest: layer.descriptor.digest.to_string(),
            transferred: layer.descriptor.size,
            size: weight.and_then(|weight| weight.layers.get(at).copied()),
            created_by: layer.created_by.clone(),
        };
        Self {
            image: image.to_owned(),
            platform: report.platform.to_string(),
            digest: report.manifest.digest.to_string(),
            transferred: report.transferred(),
            size: weight.map(Weight::size),
            wasted: weight.and_then(|weight| weight.wasted),
            layers: report.layers.iter().enumerate().map(layer).collect(),
            reused: None,
            budget: None,
            before: None,
        }
    }

    /// The same with what a budget says of it. Bounds of what is not known are left out.
    #[must_use]
    pub fn within(mut self, budget: &Budget) -> Self {
        let most = |waste: Waste, size: u64| match waste {
            Waste::Bytes(most) => most,
            Waste::Percent(most) => share(most, size),
        };
        let bound = |used: Option<u64>, most: Option<u64>| Some(Bound { used: used?, most: most? });
        self.budget = Some(BudgetFigures {
            size: bound(self.size, budget.size),
            layers: bound(Some(self.layers.len() as u64), budget.layers),
            wasted: bound(
                self.wasted,
                budget.wasted.and_then(|wasted| self.size.map(|size| most(wasted, size))),
            ),
        });
        self
    }

    /// What it is to those that are released later.
    #[must_use]
    pub fn as_before(&self, name: String, released: Option<String>) -> ImageBefore {
        ImageBefore {
            name,
            released,
            digest: self.digest.clone(),
            transferred: self.transferred,
            size: self.size,
            layers: self.layers.len(),
        }
    }

    /// By how many bytes it grew since it was released before: of its files if both are
    /// known, else of what is transferred; negative if it shrank.
    #[must_use]
    pub fn growth(&self) -> Option<i128> {
        let before = self.before.as_ref()?;
        let (now, then) = self.size.zip(before.size).unwrap_or((self.transferred, before.transferred));
        Some(i128::from(now) - i128::from(then))
    }

    /// Adds what is known of the same image from another step.
    pub fn complete(&mut self, other: &Self) {
        if self.digest != other.digest {
            return;
        }
        self.size = self.size.or(other.size);
        self.wasted = self.wasted.or(other.wasted);
        self.reused = self.reused.or(other.reused);
        self.budget = self.budget.or(other.budget);
        self.before = self.before.take().or_else(|| other.before.clone());
        for (layer, other) in self.layers.iter_mut().zip(&other.layers) {
            layer.size = layer.size.or(other.size);
        }
    }
}

impl Reused {
    /// What an engine, or the assembling of layers, says.
    #[must_use]
    pub const fn new(unit: Unit, CacheHits { steps, cached }: CacheHits) -> Self {
        Self { unit, all: steps, reused: cached }
    }

    /// The share of what had been made before, in percent; 100 of nothing.
    #[must_use]
    pub fn percent(self) -> usize {
        (self.reused * 100).checked_div(self.all).unwrap_or(100)
    }
}

impl Bound {
    /// How much is left; negative if it is exceeded.
    #[must_use]
    pub fn left(self) -> i128 {
        i128::from(self.most) - i128::from(self.used)
    }
}

/// So many percent of a number of bytes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is shown with a few digits, and is never negative"
)]
fn share(percent: f64, whole: u64) -> u64 {
    (whole as f64 * percent / 100.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(size: Option<u64>, transferred: u64) -> ImageFigures {
        let layer = LayerFigures { digest: "sha256:0".into(), transferred, size: None, created_by: None };
        ImageFigures {
            image: "web".into(),
            platform: "linux/amd64".into(),
            digest: "sha256:1".into(),
            transferred,
            size,
            wasted: size.map(|size| size / 10),
            layers: vec![layer],
            reused: None,
            budget: None,
            before: None,
        }
    }

    #[test]
    fn a_budget_bounds_what_is_known() {
        let budget = Budget {
            size: Some(900),
            layers: Some(3),
            wasted: Some(Waste::Percent(5.0)),
            growth: None,
            since: None,
        };
        let bounds = figures(Some(1000), 400).within(&budget).budget.unwrap();
        let left = |bound: Option<Bound>| bound.map(Bound::left);
        assert_eq!(
            (left(bounds.size), left(bounds.layers), left(bounds.wasted)),
            (Some(-100), Some(2), Some(-50))
        );
        let bounds = figures(None, 400).within(&budget).budget.unwrap();
        assert_eq!((bounds.size, left(bounds.layers), bounds.wasted), (None, Some(2), None));
    }

    #[test]
    fn growth_compares_like_with_like() {
        let with = |now: ImageFigures, before: &ImageFigures| {
            ImageFigures { before: Some(before.as_before("web:1".into(), None)), ..now }.growth()
        };
        assert_eq!(with(figures(Some(1000), 400), &figures(Some(1200), 300)), Some(-200));
        assert_eq!(with(figures(Some(1000), 400), &figures(None, 300)), Some(100));
        assert_eq!(figures(None, 1).growth(), None);
    }

    #[test]
    fn what_several_steps_say_of_one_image_is_put_together() {
        let reused = Reused { unit: Unit::Layer, all: 4, reused: 3 };
        let mut built = ImageFigures { reused: Some(reused), ..figures(None, 400) };
        let budget = Budget { size: None, layers: Some(3), wasted: None, growth: None, since: None };
        built.complete(&figures(Some(1000), 400).within(&budget));
        assert_eq!((built.size, built.reused, reused.percent()), (Some(1000), Some(reused), 75));
        assert!(built.budget.is_some());
        let other = ImageFigures { digest: "sha256:2".into(), ..figures(Some(1), 1) };
        let mut same = figures(None, 400);
        same.complete(&other);
        assert_eq!(same, figures(None, 400));
    }
}
