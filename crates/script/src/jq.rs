//! Programs in jq, for what mappings cannot say.
//!
//! The language is that of jq as `jaq` has it (<https://gedenkt.at/jaq/manual/>). Left out is what reaches outside (modules,
//! further inputs, environment, clock with `now` and the machine's time zone, exit, log), the rarer mathematics, and the formats
//! `@html`, `@uri` and `@base64`. Regular expressions are of linear time and metered; dates are in UTC.
//!
//! `jaq` itself bounds nothing. A program is parsed, and a meter is put into it, and into the library's own definitions: into
//! every definition, and behind every part whose values another part takes. At each it is weighed what passes, and what is
//! left of the [work](MAX_WORK) and of the stack is looked at. So a program that never ends, that recurs without end, or
//! whose values grow, ends with an error that it cannot catch: what catches errors meets the meter again.

mod dates;
mod math;
mod parse;
mod regex;

use std::{cell::Cell, fmt, sync::Arc};

use jaq_core::{
    Compiler, Ctx, Cv, DataT, Error, Exn, Filter, Lut, Native, ValXs, Vars,
    box_iter::box_once,
    data::HasLut,
    load::{
        self, Arena, File, Loader,
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    native::{Fun, v},
    ops::Math,
    path::{Opt, Part, Path},
    unwrap_valr,
};
use jaq_json::{Num, Val};
use serde_json::{Number, Value};

/// The longest program, in bytes.
pub const MAX_PROGRAM_BYTES: usize = 8 * 1024;
/// How deep a program may nest; a chain of operators nests once for each.
pub const MAX_NESTING: usize = 150;
/// The stack that reading takes, as much as the parser can want for so long a program. What is not touched costs nothing.
const READING_STACK: usize = 128 * 1024 * 1024;

/// How much a run may do: every step costs one, and one more for each 16 bytes of the value at hand.
pub const MAX_WORK: u64 = 300_000;
/// The largest value that a program may make on its way, in bytes, roughly as JSON.
pub const MAX_BYTES: usize = 1024 * 1024;
/// How deep values may nest.
pub const MAX_DEPTH: usize = 200;
/// How much of the stack a program may use, in bytes.
pub const MAX_STACK: usize = 512 * 1024;

/// Why a program made nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It met a limit.
    #[error("{0}")]
    Limit(&'static str),
    /// It ended with an error of its own, in words that may repeat what it was given.
    #[error("{0}")]
    Own(String),
}

const TOO_LONG: &str = "the jq program does not end in time: it did 300,000 steps";
const TOO_LARGE: &str = "the jq program makes a value of more than 1 MiB";
const TOO_DEEP: &str = "the jq program recurs or nests too deep";

/// Names that no program can write, for their blanks.
const METER: &str = "meter ";
const TIMES: &str = "times ";
/// The program itself among the definitions.
const MAIN: &str = "main_program";
/// Definitions of the library that rest on functions which are not taken in.
const LEFT_OUT: [&str; 16] = [
    "stderr",
    "debug",
    "halt",
    "halt_error",
    "logb",
    "significand",
    "drem",
    "nexttoward",
    "scalb",
    "gamma",
    "@html",
    "@htmld",
    "@uri",
    "@urid",
    "@base64",
    "@base64d",
];

fn is_left_out(def: &Def<&str>) -> bool {
    LEFT_OUT.contains(&def.name)
}

/// A program that is ready to run.
#[derive(Clone)]
pub struct Jq(Arc<Filter<Kind>>);

impl fmt::Debug for Jq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jq")
    }
}

/// What programs work on.
struct Kind;

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = &'a Meter<'a>;
}

/// What is left of the limits of a run.
struct Meter<'a> {
    lut: &'a Lut<Kind>,
    work: Cell<u64>,
    /// Where the stack was at the start.
    start: usize,
    fault: Cell<Option<&'static str>>,
}

impl<'a> HasLut<'a, Kind> for &'a Meter<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.lut
    }
}

impl Meter<'_> {
    fn pass(&self, value: &Val) -> Result<(), Exn<'_, Val>> {
        let found = self.fault.get().or_else(|| self.look(value));
        self.fault.set(found);
        found.map_or(Ok(()), |fault| Err(Exn::from(Error::str(fault))))
    }

    /// Takes work for what is done in one go.
    fn spend<'e>(&self, cost: usize) -> Result<(), Exn<'e, Val>> {
        let (work, cost) = (self.work.get(), u64::try_from(cost).unwrap_or(u64::MAX));
        self.work.set(work.saturating_sub(cost));
        if work >= cost {
            return Ok(());
        }
        Err(self.stop(TOO_LONG))
    }

    /// Ends the program, by the first limit that it met.
    fn stop<'e>(&self, fault: &'static str) -> Exn<'e, Val> {
        self.fault.set(self.fault.get().or(Some(fault)));
        Exn::from(Error::str(fault))
    }

    fn look(&self, value: &Val) -> Option<&'static str> {
        if self.start.abs_diff(here()) > MAX_STACK {
            return Some(TOO_DEEP);
        }
        let mut left = MAX_BYTES;
        if let Err(fault) = weigh(value, &mut left, MAX_DEPTH) {
            return Some(fault);
        }
        let weight = MAX_BYTES - left;
        let cost = 1 + u64::try_from(weight / 16).unwrap_or(u64::MAX);
        let work = self.work.get();
        self.work.set(work.saturating_sub(cost));
        (work < cost).then_some(TOO_LONG)
    }
}

/// About where the stack is.
#[inline(never)]
fn here() -> usize {
    let mark = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&mark)).addr()
}

fn weigh(value: &Val, left: &mut usize, depth: usize) -> Result<(), &'static str> {
    let take = |left: &mut usize, bytes: usize| {
        *left = left.checked_sub(bytes).ok_or(TOO_LARGE)?;
        Ok::<_, &'static str>(())
    };
    match value {
        Val::Null | Val::Bool(_) => take(left, 4),
        Val::Num(Num::BigInt(number)) => take(left, 8 + usize::try_from(number.bits()).unwrap_or(usize::MAX)),
        Val::Num(Num::Dec(text)) => take(left, 8 + text.len()),
        Val::Num(_) => take(left, 8),
        Val::BStr(bytes) | Val::TStr(bytes) => take(left, 2 + bytes.len()),
        Val::Arr(_) | Val::Obj(_) if depth == 0 => Err(TOO_DEEP),
        Val::Arr(items) => {
            take(left, 2 + items.len())?;
            items.iter().try_for_each(|item| weigh(item, left, depth - 1))
        }
        Val::Obj(members) => {
            take(left, 2 + 2 * members.len())?;
            members.iter().try_for_each(|(key, value)| {
                weigh(key, left, depth - 1)?;
                weigh(value, left, depth - 1)
            })
        }
    }
}

fn meter(cv: Cv<'_, Kind>) -> ValXs<'_, Val> {
    let passed = cv.0.data().pass(&cv.1);
    box_once(passed.map(|()| cv.1))
}

/// `$a * $b`, where repeating a text makes none that is too large.
fn times(mut cv: Cv<'_, Kind>) -> ValXs<'_, Val> {
    let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
    let bytes = |value: &Val| if let Val::BStr(bytes) | Val::TStr(bytes) = value { Some(bytes.len()) } else { None };
    // What is no whole number repeats nothing: that is an error of the multiplication.
    let count = |value: &Val| match value {
        Val::Num(Num::Int(count)) => Some(usize::try_from(*count).unwrap_or(0)),
        Val::Num(Num::BigInt(count)) => Some(if **count < 0.into() { 0 } else { usize::MAX }),
        _ => None,
    };
    let texts = bytes(&left).zip(count(&right)).or_else(|| bytes(&right).zip(count(&left)));
    let meter = cv.0.data();
    if texts.is_some_and(|(bytes, count)| bytes.saturating_mul(count) > MAX_BYTES) {
        meter.fault.set(Some(TOO_LARGE));
        return box_once(meter.pass(&Val::Null).map(|()| Val::Null));
    }
    box_once((left * right).map_err(Exn::from))
}

fn fault<'a>(text: impl ToString) -> Exn<'a, Val> {
    Exn::from(Error::str(text))
}

/// The text of a value.
fn words<'a>(value: &Val) -> Result<&str, Exn<'a, Val>> {
    let Val::TStr(bytes) = value else { return Err(fault("expected a text")) };
    std::str::from_utf8(bytes).map_err(fault)
}

fn own_functions() -> [Fun<Kind>; 2] {
    let identity = Native::<Kind>::new(meter)
        .with_paths(|cv| {
            let passed = cv.0.data().pass(&cv.1.0);
            box_once(passed.map(|()| cv.1))
        })
        .with_update(|cv, update| match cv.0.data().pass(&cv.1) {
            Ok(()) => update(cv.1),
            Err(fault) => box_once(Err(fault)),
        });
    [(METER, v(0), identity), (TIMES, v(2), Native::<Kind>::new(times))]
}

type Text<'s> = &'s str;

fn call(name: Text<'_>) -> Term<Text<'_>> {
    Term::Call(name, Vec::new())
}

/// No value, whatever a program has defined `empty` as.
fn nothing<'s>() -> Term<Text<'s>> {
    Term::Path(Box::new(Term::Obj(Vec::new())), Path(vec![(Part::Range(None, None), Opt::Essential)]))
}

fn pipe<'s>(left: Term<Text<'s>>, right: Term<Text<'s>>) -> Term<Text<'s>> {
    Term::BinOp(Box::new(left), BinaryOp::Pipe(None), Box::new(right))
}

/// The term with meters in it and behind it.
fn behind(term: Term<Text<'_>>) -> Term<Text<'_>> {
    match term {
        // These make one value, of what was weighed or stands in the program.
        plain @ (Term::Id | Term::Num(_) | Term::Var(_)) => plain,
        other => pipe(inside(other), call(METER)),
    }
}

fn boxed(term: Term<Text<'_>>) -> Box<Term<Text<'_>>> {
    Box::new(behind(term))
}

/// The term with meters in it.
fn inside(term: Term<Text<'_>>) -> Term<Text<'_>> {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Arr(None) => term,
        Term::Str(format, parts) => {
            let part = |part| match part {
                StrPart::Term(term) => StrPart::Term(behind(term)),
                plain => plain,
            };
            Term::Str(format, parts.into_iter().map(part).collect())
        }
        Term::Arr(Some(term)) => Term::Arr(Some(boxed(*term))),
        Term::Obj(members) => Term::Obj(members.into_iter().map(|(key, value)| (behind(key), value.map(behind))).collect()),
        Term::Neg(term) => Term::Neg(boxed(*term)),
        Term::BinOp(left, op, right) => operation(*left, op, *right),
        Term::Label(name, term) => Term::Label(name, Box::new(inside(*term))),
        Term::Fold(name, source, pattern, args) => {
            Term::Fold(name, boxed(*source), matched(pattern), args.into_iter().map(behind).collect())
        }
        Term::TryCatch(term, caught) => {
            let caught = caught.map_or_else(nothing, |term| inside(*term));
            Term::TryCatch(Box::new(inside(*term)), Some(Box::new(pipe(call(METER), caught))))
        }
        Term::IfThenElse(branches, otherwise) => {
            let branches = branches.into_iter().map(|(test, then)| (behind(test), inside(then))).collect();
            Term::IfThenElse(branches, otherwise.map(|term| Box::new(inside(*term))))
        }
        Term::Def(defs, term) => Term::Def(defs.into_iter().map(defined).collect(), Box::new(inside(*term))),
        Term::Call(name, args) => Term::Call(name, args.into_iter().map(behind).collect()),
        Term::Path(term, Path(parts)) => {
            let part = |part| match part {
                Part::Index(index) => Part::Index(behind(index)),
                Part::Range(from, to) => Part::Range(from.map(behind), to.map(behind)),
            };
            Term::Path(boxed(*term), Path(parts.into_iter().map(|(it, optional)| (part(it), optional)).collect()))
        }
    }
}

fn operation<'s>(left: Term<Text<'s>>, op: BinaryOp<Text<'s>>, right: Term<Text<'s>>) -> Term<Text<'s>> {
    let of = |left, op, right| Term::BinOp(Box::new(left), op, Box::new(right));
    match op {
        // The right side of these may be the last thing that is done, for which nothing is kept.
        BinaryOp::Pipe(pattern) => of(behind(left), BinaryOp::Pipe(pattern.map(matched)), inside(right)),
        BinaryOp::Comma => of(inside(left), BinaryOp::Comma, inside(right)),
        BinaryOp::Alt => of(behind(left), BinaryOp::Alt, pipe(call(METER), inside(right))),
        BinaryOp::Math(Math::Mul) => Term::Call(TIMES, vec![behind(left), behind(right)]),
        BinaryOp::UpdateMath(Math::Mul) => {
            let times = Term::Call(TIMES, vec![Term::Id, Term::Var("$factor ")]);
            let update = of(inside(left), BinaryOp::Update, times);
            of(behind(right), BinaryOp::Pipe(Some(Pattern::Var("$factor "))), update)
        }
        other => of(behind(left), other, behind(right)),
    }
}

fn matched(pattern: Pattern<Text<'_>>) -> Pattern<Text<'_>> {
    match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(matched).collect()),
        Pattern::Obj(members) => Pattern::Obj(members.into_iter().map(|(key, value)| (behind(key), matched(value))).collect()),
    }
}

fn defined<'s>(def: Def<Text<'s>>) -> Def<Text<'s>> {
    Def { body: pipe(call(METER), inside(def.body)), ..def }
}

impl Jq {
    /// Compiles a program.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn compile(program: &str) -> Result<Self, String> {
        if program.len() > MAX_PROGRAM_BYTES {
            return Err(format!("a jq program has at most {MAX_PROGRAM_BYTES} bytes"));
        }
        // The parser recurs as deep as the program nests, and bounds nothing.
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().name("jq-reader".to_owned()).stack_size(READING_STACK);
            let read = reader.spawn_scoped(scope, || Self::read(program)).map_err(|error| error.to_string())?;
            read.join().unwrap_or_else(|_| Err("this jq program cannot be read".to_owned()))
        })
    }

    fn read(program: &str) -> Result<Self, String> {
        let arena = Arena::default();
        // For its words: only this says where a program is no jq.
        let only_own = || std::iter::empty::<Def<&str>>();
        Loader::new(only_own()).load(&arena, File { code: program, path: () }).map_err(|faults| unread(program, &faults))?;
        let term = load::parse(program, |parser| parser.term()).ok_or("this is no jq program: modules are not supported")?;
        if depth(&term) > MAX_NESTING {
            return Err(format!("the jq program nests more than {MAX_NESTING} deep"));
        }
        let library = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).filter(|def| !is_left_out(def));
        let library: Vec<Def<Text<'_>>> = library.map(|def| -> Def<Text<'_>> { defined(def) }).collect();
        let main = defined(Def { name: MAIN, args: Vec::new(), body: term });
        let modules = Loader::new(library.into_iter().chain([main]))
            .load(&arena, File { code: MAIN, path: () })
            .map_err(|_| "this jq program cannot be loaded".to_owned())?;
        let json = jaq_json::funs().filter(|(name, ..)| *name != parse::NAME).chain([parse::function()]);
        let functions = jaq_core::funs().chain(jaq_std::base_funs()).chain(json).chain(own_functions());
        let functions = functions.chain(dates::functions()).chain(math::functions()).chain(regex::functions());
        let compiled = Compiler::default().with_funs(functions).compile(modules);
        let filter = compiled.map_err(|faults| {
            let named = faults.iter().flat_map(|(_, faults)| faults).next();
            named.map_or_else(
                || "this jq program cannot be compiled".to_owned(),
                |(name, what)| format!("there is no {} `{name}` in jq here", what.as_str()),
            )
        })?;
        Ok(Self(Arc::new(filter)))
    }

    /// The first value that the program makes of the input; nothing where it makes none. What it does is taken from `work`,
    /// at first [`MAX_WORK`].
    ///
    /// # Errors
    /// The program's error, or which limit it met.
    pub fn run(&self, input: &Value, work: &mut u64) -> Result<Option<Value>, Fault> {
        let meter = Meter { lut: &self.0.lut, work: Cell::new(*work), start: here(), fault: Cell::new(None) };
        let ctx = Ctx::<Kind>::new(&meter, Vars::new([]));
        let first = self.0.id.run((ctx, to_val(input))).map(unwrap_valr).next();
        *work = meter.work.get();
        if let Some(fault) = meter.fault.get() {
            return Err(Fault::Limit(fault));
        }
        match first {
            None => Ok(None),
            Some(Err(error)) => Err(Fault::Own(clip(&error.to_string()))),
            Some(Ok(value)) => {
                meter.look(&value).map_or(Ok(()), Err).map_err(Fault::Limit)?;
                from_val(&value).map(Some).map_err(Fault::Own)
            }
        }
    }
}

/// How deep a term nests.
fn depth(term: &Term<Text<'_>>) -> usize {
    let most = |terms: &mut dyn Iterator<Item = &Term<Text<'_>>>| terms.map(depth).max().unwrap_or(0);
    1 + match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Arr(None) => 0,
        Term::Str(_, parts) => {
            most(&mut parts.iter().filter_map(|part| if let StrPart::Term(term) = part { Some(term) } else { None }))
        }
        Term::Arr(Some(term)) | Term::Neg(term) | Term::Label(_, term) => depth(term),
        Term::Obj(members) => most(&mut members.iter().flat_map(|(key, value)| std::iter::once(key).chain(value))),
        Term::BinOp(left, op, right) => {
            let pattern = if let BinaryOp::Pipe(Some(pattern)) = op { depth_of_pattern(pattern) } else { 0 };
            depth(left).max(depth(right)).max(pattern)
        }
        Term::Fold(_, source, pattern, args) => depth(source).max(depth_of_pattern(pattern)).max(most(&mut args.iter())),
        Term::TryCatch(term, caught) => depth(term).max(caught.as_ref().map_or(0, |term| depth(term))),
        Term::IfThenElse(branches, otherwise) => {
            let branches = most(&mut branches.iter().flat_map(|(test, then)| [test, then]));
            branches.max(otherwise.as_ref().map_or(0, |term| depth(term)))
        }
        Term::Def(defs, term) => most(&mut defs.iter().map(|def| &def.body)).max(depth(term)),
        Term::Call(_, args) => most(&mut args.iter()),
        Term::Path(term, Path(parts)) => {
            let part = |part: &Part<Term<Text<'_>>>| match part {
                Part::Index(index) => depth(index),
                Part::Range(from, to) => from.iter().chain(to).map(depth).max().unwrap_or(0),
            };
            depth(term).max(parts.iter().map(|(it, _)| part(it)).max().unwrap_or(0))
        }
    }
}

fn depth_of_pattern(pattern: &Pattern<Text<'_>>) -> usize {
    1 + match pattern {
        Pattern::Var(_) => 0,
        Pattern::Arr(items) => items.iter().map(depth_of_pattern).max().unwrap_or(0),
        Pattern::Obj(members) => members.iter().map(|(key, value)| depth(key).max(depth_of_pattern(value))).max().unwrap_or(0),
    }
}

fn unread(program: &str, faults: &load::Errors<&str, ()>) -> String {
    let at = |part: &str| {
        let start = load::span(program, part).start;
        let line = program.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        let rest: String = program.get(start..).unwrap_or_default().chars().take(20).collect();
        if rest.is_empty() { format!("line {line}, at the end") } else { format!("line {line}, at `{rest}`") }
    };
    match faults.first().map(|(_, fault)| fault) {
        Some(load::Error::Lex(faults)) => match faults.first() {
            Some((expected, found)) => format!("this is no jq program: {}: expected {}", at(found), expected.as_str()),
            None => "this is no jq program".to_owned(),
        },
        Some(load::Error::Parse(faults)) => match faults.first() {
            Some((expected, found)) => format!("this is no jq program: {}: expected {}", at(found), expected.as_str()),
            None => "this is no jq program".to_owned(),
        },
        _ => "this is no jq program: modules are not supported".to_owned(),
    }
}

/// Errors of jq repeat values, which may be long and personal.
fn clip(text: &str) -> String {
    const MOST: usize = 200;
    if text.chars().count() > MOST { text.chars().take(MOST).chain(['…']).collect() } else { text.to_owned() }
}

fn to_val(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(flag) => Val::Bool(*flag),
        Value::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Num::from_integral(whole),
            (None, Some(whole)) => Num::from_integral(whole),
            (None, None) => Num::Float(number.as_f64().unwrap_or_default()),
        }),
        Value::String(text) => Val::from(text.clone()),
        Value::Array(items) => items.iter().map(to_val).collect(),
        Value::Object(members) => Val::obj(members.iter().map(|(key, value)| (Val::from(key.clone()), to_val(value))).collect()),
    }
}

fn from_val(value: &Val) -> Result<Value, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(flag) => Value::Bool(*flag),
        Val::Num(number) => numeric(number),
        Val::BStr(bytes) | Val::TStr(bytes) => Value::String(text(bytes)),
        Val::Arr(items) => Value::Array(items.iter().map(from_val).collect::<Result<_, _>>()?),
        Val::Obj(members) => {
            let member = |(key, value): (&Val, &Val)| match key {
                Val::BStr(bytes) | Val::TStr(bytes) => Ok((text(bytes), from_val(value)?)),
                _ => Err("the jq program makes an object with a key that is no text".to_owned()),
            };
            Value::Object(members.iter().map(member).collect::<Result<_, _>>()?)
        }
    })
}

/// What is no number in JSON is null, as jq writes it.
fn numeric(number: &Num) -> Value {
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match number {
        Num::Int(whole) => Value::from(*whole as i64),
        Num::Float(number) => float(*number),
        Num::BigInt(whole) => {
            let text = whole.to_string();
            text.parse::<u64>().map(Value::from).unwrap_or_else(|_| float(text.parse().unwrap_or(f64::NAN)))
        }
        Num::Dec(text) => float(text.parse().unwrap_or(f64::NAN)),
    }
}
