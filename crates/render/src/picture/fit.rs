//! Which sizes a role needs, and how a picture comes into each of them: plain arithmetic.
//!
//! Sources: the slots that Apple's pass builder checks ([`pkpass::IMAGE_SLOTS`]); Google Wallet's brand guidelines: a logo of
//! 660 by 660 pixels that is shown in a circle, a wide logo of 1280 by 400, a hero image of 1032 by 336.

use domain::ImageRole;

use super::probe::Size;
use super::{PictureFault, PictureNote, PictureUse};

/// How far beyond its own pixels a picture may be drawn in the size that there has to be.
const MAX_ENLARGED: f64 = 4.0;
/// Differences below this come from rounding to whole pixels.
const ROUNDING: f64 = 0.01;
/// A cut or a bar that takes less than this share of the picture is not worth a word.
const UNSEEN_SHARE: f64 = 0.02;

/// How a picture of another shape comes into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It fills the place; what stands out is cut off evenly.
    Fill,
    /// It is shown whole in a place of exactly this size, with transparent bars.
    Bars,
    /// It is shown whole and the place takes its shape.
    Within,
}

/// One size to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// What it is for.
    pub(super) usage: PictureUse,
    /// The finished picture.
    pub(super) canvas: Size,
    /// The part of it that is drawn on, in the middle.
    pub(super) drawn: Size,
    /// The part of the source that is drawn: left, top, width, height.
    pub(super) part: [f64; 4],
}

impl Plan {
    fn new(usage: PictureUse, fit: Fit, source: Size, place: Size) -> Self {
        let (sw, sh) = (f64::from(source.width), f64::from(source.height));
        let (pw, ph) = (f64::from(place.width), f64::from(place.height));
        if fit == Fit::Fill {
            let scale = (pw / sw).max(ph / sh);
            let (width, height) = ((pw / scale).min(sw), (ph / scale).min(sh));
            let part = [(sw - width) / 2.0, (sh - height) / 2.0, width, height];
            return Self { usage, canvas: place, drawn: place, part };
        }
        let scale = (pw / sw).min(ph / sh);
        let drawn = Size { width: pixels(sw * scale, place.width), height: pixels(sh * scale, place.height) };
        let canvas = if fit == Fit::Bars { place } else { drawn };
        Self { usage, canvas, drawn, part: [0.0, 0.0, sw, sh] }
    }

    /// Pixels drawn for each pixel of the source: more than 1 enlarges.
    fn scale(&self) -> f64 {
        (f64::from(self.drawn.width) / self.part[2]).max(f64::from(self.drawn.height) / self.part[3])
    }

    /// The share of the source that is cut off.
    fn cut(&self, source: Size) -> f64 {
        1.0 - self.part[2] * self.part[3] / (f64::from(source.width) * f64::from(source.height))
    }

    /// The share of the finished picture that is bars.
    fn bars(&self) -> f64 {
        let area = |size: Size| f64::from(size.width) * f64::from(size.height);
        1.0 - area(self.drawn) / area(self.canvas)
    }
}

/// Whole pixels of a side, at least one and not beyond its place.
fn pixels(side: f64, most: u32) -> u32 {
    // the side of a place, which is small
    (side.round() as u32).clamp(1, most.max(1))
}

/// Apple's slot of a role in points, and how pictures come into it.
fn slot(role: ImageRole) -> Option<(Size, Fit)> {
    let slot = pkpass::IMAGE_SLOTS.iter().find(|slot| slot.name == role.name())?;
    let fit = match (role, slot.is_exact) {
        (ImageRole::Icon, _) => Fit::Bars,
        (_, true) => Fit::Fill,
        (_, false) => Fit::Within,
    };
    Some((Size { width: slot.width, height: slot.height }, fit))
}

/// What Google shows of a role: its place in pixels.
fn google_place(role: ImageRole) -> Option<(Size, Fit)> {
    match role {
        ImageRole::Icon => Some((Size { width: 660, height: 660 }, Fit::Bars)),
        ImageRole::Logo => Some((Size { width: 1280, height: 400 }, Fit::Within)),
        ImageRole::Strip | ImageRole::Background => Some((Size { width: 1032, height: 336 }, Fit::Fill)),
        _ => None,
    }
}

/// The sizes that a picture of this size is drawn in for a role, and what is to be said about them.
pub(super) fn plans(role: ImageRole, source: Size) -> Result<(Vec<Plan>, Vec<PictureNote>), PictureFault> {
    let (mut plans, mut notes) = (Vec::new(), Vec::new());
    apple(role, source, &mut plans, &mut notes)?;
    if let Some((place, fit)) = google_place(role) {
        google(source, place, fit, &mut plans, &mut notes);
    }
    Ok((plans, notes))
}

/// A size that needs more pixels than the picture has is drawn only where the next smaller one would lose some of them, or
/// where there has to be one: phones enlarge the rest themselves.
fn apple(role: ImageRole, source: Size, plans: &mut Vec<Plan>, notes: &mut Vec<PictureNote>) -> Result<(), PictureFault> {
    let Some((slot, fit)) = slot(role) else { return Ok(()) };
    // a design without an icon at two pixels a point cannot be published
    let needed = if role == ImageRole::Icon { 2 } else { 1 };
    let mut before = 0.0;
    for (pixels, usage) in [(1, PictureUse::X1), (2, PictureUse::X2), (3, PictureUse::X3)] {
        let place = Size { width: slot.width * pixels, height: slot.height * pixels };
        let plan = Plan::new(usage, fit, source, place);
        let scale = plan.scale();
        if pixels == needed && scale > MAX_ENLARGED {
            return Err(PictureFault::TooSmall {
                width: source.width,
                height: source.height,
                place: [place.width, place.height],
            });
        }
        if pixels > needed && before >= 1.0 - ROUNDING && scale > 1.0 + ROUNDING {
            notes.push(PictureNote::left_out(usage, place));
            continue;
        }
        if scale > 1.0 + ROUNDING {
            notes.push(PictureNote::enlarged(usage, scale, place));
        }
        before = scale;
        plans.push(plan);
    }
    say_shape(plans, source, PictureUse::X1, notes);
    Ok(())
}

/// Google takes any size, and it is drawn no larger than the picture is.
fn google(source: Size, place: Size, fit: Fit, plans: &mut Vec<Plan>, notes: &mut Vec<PictureNote>) {
    let wanted = Plan::new(PictureUse::Google, fit, source, place);
    let scale = wanted.scale();
    let plan = if scale > 1.0 {
        let side = |side: u32| pixels(f64::from(side) / scale, side);
        let smaller = Size { width: side(place.width), height: side(place.height) };
        notes.push(PictureNote::small_for_google(smaller, place));
        Plan::new(PictureUse::Google, fit, source, smaller)
    } else {
        wanted
    };
    plans.push(plan);
    say_shape(plans, source, PictureUse::Google, notes);
}

/// Says what is lost or added because the picture has another shape than its place.
fn say_shape(plans: &[Plan], source: Size, usage: PictureUse, notes: &mut Vec<PictureNote>) {
    let Some(plan) = plans.iter().find(|plan| plan.usage == usage) else { return };
    if plan.cut(source) > UNSEEN_SHARE {
        let sides = plan.part[2] < f64::from(source.width) - 0.5;
        notes.push(PictureNote::cut(usage, plan.cut(source), sides, plan.canvas));
    }
    if plan.bars() > UNSEEN_SHARE {
        notes.push(PictureNote::bars(usage, plan.canvas));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes(role: ImageRole, width: u32, height: u32) -> Vec<(PictureUse, u32, u32)> {
        let (plans, _) = plans(role, Size { width, height }).unwrap();
        plans.iter().map(|plan| (plan.usage, plan.canvas.width, plan.canvas.height)).collect()
    }

    fn said(role: ImageRole, width: u32, height: u32) -> Vec<(PictureUse, &'static str)> {
        plans(role, Size { width, height }).unwrap().1.iter().map(|note| (note.size, note.rule)).collect()
    }

    #[test]
    fn each_role_gets_its_sizes() {
        use PictureUse::{Google, X1, X2, X3};
        let table = [
            (ImageRole::Icon, (1024, 1024), vec![(X1, 38, 38), (X2, 76, 76), (X3, 114, 114), (Google, 660, 660)]),
            (ImageRole::Logo, (1600, 500), vec![(X1, 160, 50), (X2, 320, 100), (X3, 480, 150), (Google, 1280, 400)]),
            (ImageRole::Logo, (600, 600), vec![(X1, 50, 50), (X2, 100, 100), (X3, 150, 150), (Google, 400, 400)]),
            (ImageRole::Strip, (1125, 432), vec![(X1, 375, 144), (X2, 750, 288), (X3, 1125, 432), (Google, 1032, 336)]),
            (ImageRole::Thumbnail, (400, 300), vec![(X1, 90, 90), (X2, 180, 180), (X3, 270, 270)]),
            (ImageRole::Artwork, (1074, 1344), vec![(X1, 358, 448), (X2, 716, 896), (X3, 1074, 1344)]),
            (ImageRole::Footer, (858, 45), vec![(X1, 286, 15), (X2, 572, 30), (X3, 858, 45)]),
        ];
        for (role, (width, height), wanted) in table {
            assert_eq!(sizes(role, width, height), wanted, "{role:?}");
        }
        assert_eq!(said(ImageRole::Icon, 1024, 1024), [], "nothing to say about what fits");
        for role in ImageRole::ALL {
            assert!(!sizes(role, 2000, 2000).is_empty(), "{role:?} has a place");
        }
    }

    #[test]
    fn nothing_is_enlarged_without_a_word() {
        use PictureUse::{Google, X1, X2, X3};
        // between two sizes: the larger one keeps what the smaller one would lose
        assert_eq!(sizes(ImageRole::Strip, 900, 346).len(), 4);
        assert_eq!(said(ImageRole::Strip, 900, 346)[0], (X3, "enlarged"));
        assert_eq!(said(ImageRole::Strip, 750, 288), [(X3, "left_out"), (Google, "small_for_google"), (Google, "cut")]);
        assert_eq!(sizes(ImageRole::Strip, 750, 288)[2], (Google, 750, 244));
        // the icon that there has to be
        assert_eq!(said(ImageRole::Icon, 38, 38), [(X2, "enlarged"), (X3, "left_out"), (Google, "small_for_google")]);
        let small = plans(ImageRole::Icon, Size { width: 16, height: 16 });
        assert!(matches!(small, Err(PictureFault::TooSmall { place: [76, 76], .. })));
        assert_eq!(said(ImageRole::Thumbnail, 60, 60), [(X1, "enlarged"), (X2, "left_out"), (X3, "left_out")]);
    }

    #[test]
    fn another_shape_is_cut_or_gets_bars_and_is_told() {
        use PictureUse::{Google, X1};
        assert_eq!(said(ImageRole::Strip, 2000, 2000), [(X1, "cut"), (Google, "cut")]);
        assert_eq!(said(ImageRole::Icon, 2000, 1000), [(X1, "bars"), (Google, "bars")]);
        let (plans, _) = plans(ImageRole::Icon, Size { width: 2000, height: 1000 }).unwrap();
        assert_eq!(plans[2].drawn, Size { width: 114, height: 57 });
    }

    proptest! {
        #[test]
        fn every_size_fits_its_place(width in 1u32..9000, height in 1u32..9000, role in 0usize..10) {
            let role = ImageRole::ALL[role];
            let Ok((plans, _)) = plans(role, Size { width, height }) else { return Ok(()) };
            let (slot, _) = slot(role).unwrap();
            for plan in plans {
                let [left, top, part_width, part_height] = plan.part;
                prop_assert!(left >= 0.0 && top >= 0.0 && part_width > 0.0 && part_height > 0.0);
                prop_assert!(left + part_width <= f64::from(width) + 1e-6 && top + part_height <= f64::from(height) + 1e-6);
                prop_assert!(plan.drawn.width <= plan.canvas.width && plan.drawn.height <= plan.canvas.height);
                let scale = match plan.usage { PictureUse::X1 => 1, PictureUse::X2 => 2, PictureUse::X3 => 3, PictureUse::Google => continue };
                prop_assert!(plan.canvas.width <= slot.width * scale && plan.canvas.height <= slot.height * scale);
            }
        }
    }
}
