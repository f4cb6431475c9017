//! Where the pieces of a treemap go (Bruls, Huizing, van Wijk: Squarified Treemaps).

/// A rectangle, in any unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    /// The rectangle as CSS, in parts of the one that it lies in.
    pub(super) fn within(self, outer: Self) -> String {
        let part = |value: f64, whole: f64| if whole > 0.0 { value * 100.0 / whole } else { 0.0 };
        format!(
            "left:{:.2}%;top:{:.2}%;width:{:.2}%;height:{:.2}%",
            part(self.x - outer.x, outer.width),
            part(self.y - outer.y, outer.height),
            part(self.width, outer.width),
            part(self.height, outer.height),
        )
    }
}

/// A rectangle for each size, in their order, which is from large to small: areas are
/// in proportion, and as near to squares as can be had.
#[expect(clippy::cast_precision_loss, reason = "an area is seen, not counted")]
pub(super) fn squarify(sizes: &[u64], room: Area) -> Vec<Area> {
    let total: f64 = sizes.iter().map(|size| *size as f64).sum();
    let scale = if total > 0.0 { room.width * room.height / total } else { 0.0 };
    let areas: Vec<f64> = sizes.iter().map(|size| *size as f64 * scale).collect();
    let (mut placed, mut room) = (Vec::with_capacity(areas.len()), room);
    let mut rest = areas.as_slice();
    while !rest.is_empty() {
        let side = room.width.min(room.height);
        let mut count = 1;
        while count < rest.len() && worst(&rest[..=count], side) <= worst(&rest[..count], side) {
            count += 1;
        }
        let (row, after) = rest.split_at(count);
        room = place(row, room, &mut placed);
        rest = after;
    }
    placed
}

/// The worst ratio of the sides of a row along a side.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let (least, most) = row.iter().fold((f64::MAX, 0.0_f64), |(a, b), area| (a.min(*area), b.max(*area)));
    let (side, sum) = (side * side, sum * sum);
    if sum == 0.0 || least == 0.0 { f64::MAX } else { (side * most / sum).max(sum / (side * least)) }
}

/// Puts a row along the shorter side, and returns the room that is left.
fn place(row: &[f64], room: Area, placed: &mut Vec<Area>) -> Area {
    let sum: f64 = row.iter().sum();
    let upright = room.width >= room.height;
    let side = if upright { room.height } else { room.width };
    let depth = if side > 0.0 { sum / side } else { 0.0 };
    let mut at = 0.0;
    for area in row {
        let length = if depth > 0.0 { area / depth } else { 0.0 };
        placed.push(if upright {
            Area { x: room.x, y: room.y + at, width: depth, height: length }
        } else {
            Area { x: room.x + at, y: room.y, width: length, height: depth }
        });
        at += length;
    }
    if upright {
        Area { x: room.x + depth, width: (room.width - depth).max(0.0), ..room }
    } else {
        Area { y: room.y + depth, height: (room.height - depth).max(0.0), ..room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_in_proportion_and_fill_the_room() {
        // The example of the paper: 6 by 4.
        let room = Area { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        let sizes = [6, 6, 4, 3, 2, 2, 1];
        let placed = squarify(&sizes, room);
        for (area, size) in placed.iter().zip(sizes) {
            assert!((area.width * area.height - f64::from(u32::try_from(size).unwrap())).abs() < 1e-9);
            assert!(area.x + area.width < 6.0 + 1e-9 && area.y + area.height < 4.0 + 1e-9, "{area:?}");
        }
        assert_eq!(placed[0], Area { x: 0.0, y: 0.0, width: 3.0, height: 2.0 });
        let ratio = |area: &Area| (area.width / area.height).max(area.height / area.width);
        assert!(placed.iter().map(ratio).fold(0.0, f64::max) < 2.8);
    }

    #[test]
    fn nothing_is_placed_without_sizes_and_no_size_divides_by_zero() {
        let room = Area { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        assert_eq!(squarify(&[], room), []);
        let flat = squarify(&[0, 0], room);
        assert!(flat.iter().all(|area| area.width.is_finite() && area.height.is_finite()), "{flat:?}");
    }
}
