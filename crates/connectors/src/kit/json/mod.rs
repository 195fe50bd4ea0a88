//! JSON as the edges need it: objects of raw members, checks that serde leaves out, Go's way of writing.

mod go;
mod object;
mod path;
mod scan;
mod writer;

pub use go::to_go_json;
pub use object::{Kind, Object, kind, push_text, text};
pub use path::is_path;
pub(crate) use path::{Document, at};
pub use scan::{MAX_DEPTH, Trouble, TroubleKind, offset_of, path_at, scan};
pub(crate) use writer::Writer;
