//! Curves as SVG, drawn by hand so that a report needs nothing but itself.

use std::fmt::Write;

/// A named line through points.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Width, height and margin of a chart, in pixels.
const SIZE: (f64, f64) = (640.0, 260.0);
const MARGIN: f64 = 48.0;
/// Colours that colour-blind readers can tell apart.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/// The range of one axis.
#[derive(Clone, Copy)]
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    fn over(numbers: impl Iterator<Item = f64>) -> Self {
        let (least, most) = numbers
            .filter(|number| number.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), number| (least.min(number), most.max(number)));
        match (least < most, least.is_finite()) {
            (true, _) => Self { least, most },
            (false, true) => Self { least: least.min(0.0), most: least.max(0.0) + 1.0 },
            (false, false) => Self { least: 0.0, most: 1.0 },
        }
    }

    fn part(self, number: f64) -> f64 {
        (number - self.least) / (self.most - self.least)
    }
}

/// A chart of some curves.
pub(super) fn chart(title: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let (x, y) = (Axis::over(points().map(|point| point.0)), Axis::over(points().map(|point| point.1)));
    let (width, height) = SIZE;
    let mut svg = format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{title}\">",
        width + 150.0
    );
    frame(&mut svg, x, y);
    for (number, curve) in curves.iter().enumerate() {
        draw(&mut svg, curve, (x, y), number);
    }
    svg.push_str("</svg></figure>\n");
    svg
}

fn frame(svg: &mut String, x: Axis, y: Axis) {
    let (left, right, top, bottom) = (MARGIN, SIZE.0, 12.0, SIZE.1 - 24.0);
    let _ = write!(svg, "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#888\"/>");
    for (at, label) in [(bottom, y.least), (top + 8.0, y.most)] {
        let _ = write!(svg, "<text x=\"{}\" y=\"{at}\" text-anchor=\"end\">{}</text>", left - 4.0, short(label));
    }
    for (at, label, anchor) in [(left, x.least, "start"), (right, x.most, "end")] {
        let _ = write!(svg, "<text x=\"{at}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>", SIZE.1 - 8.0, short(label));
    }
}

fn draw(svg: &mut String, curve: &Curve, (x, y): (Axis, Axis), number: usize) {
    let colour = COLOURS[number % COLOURS.len()];
    let (width, height) = (SIZE.0 - MARGIN, SIZE.1 - 36.0);
    let mut line = String::new();
    for (across, up) in curve.points.iter().filter(|(_, up)| up.is_finite()) {
        let (px, py) = (MARGIN + x.part(*across) * width, 12.0 + (1.0 - y.part(*up)) * height);
        let _ = write!(line, "{px:.1},{py:.1} ");
    }
    // A lone point is a dot; beyond as many curves as there are colours they are dashed.
    let dashes = if number < COLOURS.len() { "" } else { " stroke-dasharray=\"4 3\"" };
    let _ = match line.trim_end().split_once(',') {
        Some((px, py)) if !py.contains(' ') => {
            write!(svg, "<circle cx=\"{px}\" cy=\"{py}\" r=\"3\" fill=\"{colour}\"/>")
        }
        _ => {
            write!(svg, "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}/>")
        }
    };
    let top = 20.0 + 16.0 * number as f64;
    let _ = write!(svg, "<text x=\"{}\" y=\"{top}\" fill=\"{colour}\">{}</text>", SIZE.0 + 8.0, curve.name);
}

/// A number in few characters.
fn short(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e6 { format!("{number:.0}") } else { format!("{number:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_within_the_frame_and_gaps_are_left_out() {
        let curve = Curve { name: "loss".to_owned(), points: vec![(1.0, 4.0), (2.0, f64::NAN), (3.0, 2.0)] };
        let svg = chart("Loss", &[curve]);
        assert!(svg.contains("points=\"48.0,12.0 640.0,236.0 \""), "{svg}");
    }

    #[test]
    fn a_lone_point_is_a_dot_and_late_curves_are_dashed() {
        let curve = |points: &[(f64, f64)]| Curve { name: "x".to_owned(), points: points.to_vec() };
        assert!(chart("One", &[curve(&[(3.0, 1.0)])]).contains("<circle"));
        let many = vec![curve(&[(1.0, 1.0), (2.0, 2.0)]); COLOURS.len() + 1];
        assert_eq!(chart("Many", &many).matches("stroke-dasharray").count(), 1);
    }

    #[test]
    fn a_flat_or_empty_curve_draws() {
        for points in [vec![], vec![(1.0, 1.0)]] {
            let svg = chart("Flat", &[Curve { name: "x".to_owned(), points }]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
