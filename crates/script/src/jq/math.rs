//! Mathematics on floating-point numbers, by the names of jq.

use jaq_core::{
    Cv, Native, RunPtr, ValXs,
    box_iter::box_once,
    native::{Fun, v},
};
use jaq_json::Val;
use jaq_std::ValT as _;

use super::{Kind, fault};

pub(super) fn functions() -> impl Iterator<Item = Fun<Kind>> {
    let named = |(name, arguments, run): (&'static str, usize, RunPtr<Kind>)| (name, v(arguments), Native::<Kind>::new(run));
    TABLE.into_iter().map(named)
}

const TABLE: [(&str, usize, RunPtr<Kind>); 35] = [
    ("sqrt", 0, |cv| one(&cv, f64::sqrt)),
    ("cbrt", 0, |cv| one(&cv, f64::cbrt)),
    ("exp", 0, |cv| one(&cv, f64::exp)),
    ("exp2", 0, |cv| one(&cv, f64::exp2)),
    ("exp10", 0, |cv| one(&cv, |x| 10_f64.powf(x))),
    ("expm1", 0, |cv| one(&cv, f64::exp_m1)),
    ("log", 0, |cv| one(&cv, f64::ln)),
    ("log2", 0, |cv| one(&cv, f64::log2)),
    ("log10", 0, |cv| one(&cv, f64::log10)),
    ("log1p", 0, |cv| one(&cv, f64::ln_1p)),
    ("sin", 0, |cv| one(&cv, f64::sin)),
    ("cos", 0, |cv| one(&cv, f64::cos)),
    ("tan", 0, |cv| one(&cv, f64::tan)),
    ("asin", 0, |cv| one(&cv, f64::asin)),
    ("acos", 0, |cv| one(&cv, f64::acos)),
    ("atan", 0, |cv| one(&cv, f64::atan)),
    ("sinh", 0, |cv| one(&cv, f64::sinh)),
    ("cosh", 0, |cv| one(&cv, f64::cosh)),
    ("tanh", 0, |cv| one(&cv, f64::tanh)),
    ("asinh", 0, |cv| one(&cv, f64::asinh)),
    ("acosh", 0, |cv| one(&cv, f64::acosh)),
    ("atanh", 0, |cv| one(&cv, f64::atanh)),
    ("fabs", 0, |cv| one(&cv, f64::abs)),
    ("trunc", 0, |cv| one(&cv, f64::trunc)),
    ("rint", 0, |cv| one(&cv, f64::round_ties_even)),
    ("nearbyint", 0, |cv| one(&cv, f64::round_ties_even)),
    ("pow", 2, |cv| two(cv, f64::powf)),
    ("atan2", 2, |cv| two(cv, f64::atan2)),
    ("hypot", 2, |cv| two(cv, f64::hypot)),
    ("copysign", 2, |cv| two(cv, f64::copysign)),
    ("fmin", 2, |cv| two(cv, f64::min)),
    ("fmax", 2, |cv| two(cv, f64::max)),
    ("fmod", 2, |cv| two(cv, |x, y| x % y)),
    ("fdim", 2, |cv| two(cv, |x, y| (x - y).max(0.0))),
    ("remainder", 2, |cv| two(cv, |x, y| x - y * (x / y).round_ties_even())),
];

fn number<'a>(value: &Val) -> Result<f64, jaq_core::Exn<'a, Val>> {
    value.as_f64().ok_or_else(|| fault("expected a number"))
}

fn one<'a>(cv: &Cv<'a, Kind>, made: fn(f64) -> f64) -> ValXs<'a, Val> {
    box_once(number(&cv.1).map(|x| Val::from(made(x))))
}

fn two(mut cv: Cv<'_, Kind>, made: fn(f64, f64) -> f64) -> ValXs<'_, Val> {
    let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
    box_once(number(&left).and_then(|x| Ok(Val::from(made(x, number(&right)?)))))
}
