//! `passbridge template add`, `import`, `export`, `report` and `preview`: designs as files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Subcommand;
use http::{Method, header};
use pkpass::{Limits, MAX_PACK_BYTES, MAX_PACK_FILES, Package};
use serde_json::{Map, Value, json};

use crate::{
    api::{self, Api},
    cli::{Server, image::upload, saved},
    system::{complain, say},
};

#[derive(Debug, Subcommand)]
pub(crate) enum FileCommand {
    /// Make a template of a design: texts, colours, fields, barcode
    ///
    /// The file is the `design` of `POST /v1/templates`, which stands in the server's /docs; pictures are added to it. With
    /// --variant it is published, and the project's passes of that variant are drawn with it from then on.
    #[command(after_help = "\
Example:
  passbridge template add card.json --project coffee-club --image icon=icon.png --image strip=summer.jpg --variant gold")]
    Add {
        /// The design (JSON)
        file: PathBuf,
        /// The project whose passes it is to draw: slug or id
        #[arg(long)]
        project: String,
        /// Name of the template; the design's title unless told
        #[arg(long)]
        name: Option<String>,
        /// A picture for a role, for example icon=icon.png. May be given several times
        #[arg(long = "image", value_name = "ROLE=FILE")]
        images: Vec<String>,
        /// Publish it for this variant of the project, which is made where there is none
        #[arg(long, value_name = "ID")]
        variant: Option<String>,
    },
    /// Make a template of a pass: a .pkpass, or a .pass or .pkpasstemplate folder, packed or not
    ///
    /// Fields, colours, images, barcode, languages and semantics become a design; what a design has no words for is kept as it
    /// stands, for Apple. What was left out, changed, or is the same on every pass, is told on standard error.
    Import {
        /// The file or folder
        file: PathBuf,
        /// The project whose passes it is to draw: slug or id; its kind has to fit the style of the pass
        #[arg(long)]
        project: String,
        /// Name of the template; the description of the pass unless told
        #[arg(long)]
        name: Option<String>,
        /// The language that its texts shall be in, for example en
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        /// Keep every value as it is: no placeholders for what the project has under a field's key
        #[arg(long)]
        constant: bool,
    },
    /// Write a template as the folder that Apple's tools open
    Export {
        /// The template's id
        template: String,
        /// A folder such as Card.pkpasstemplate or Card.pass, which must not be there yet; or a file such as Card.zip
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
        /// The draft that follows the published version
        #[arg(long)]
        draft: bool,
    },
    /// Show what each wallet and system will not show of a template, and what it would refuse
    Report {
        /// The template's id
        template: String,
        /// The draft that follows the published version
        #[arg(long)]
        draft: bool,
    },
    /// Write a page that shows a template as a pass: everything is inside, it can be sent to anybody
    Preview {
        /// The template's id
        template: String,
        /// The page
        #[arg(long, value_name = "FILE.html")]
        out: PathBuf,
        /// The draft that follows the published version
        #[arg(long)]
        draft: bool,
    },
}

pub(crate) async fn run(server: &Server, command: FileCommand) -> anyhow::Result<ExitCode> {
    match command {
        FileCommand::Add { file, project, name, images, variant } => {
            add(server, &file, &project, name, &images, variant.as_deref()).await?;
        }
        FileCommand::Import { file, project, name, language, constant } => {
            let project = project_id(server, &project).await?;
            let bind = constant.then(|| "false".to_owned());
            let asked = [("project", Some(project)), ("name", name), ("language", language), ("bind", bind)];
            let query = serde_urlencoded::to_string(asked.iter().filter(|(_, value)| value.is_some()).collect::<Vec<_>>())?;
            import(server, &file, &query).await?;
        }
        FileCommand::Export { template, out, draft } => {
            let packed = fetch(server, &format!("/v1/templates/{template}/export?draft={draft}")).await?;
            write_folder(&packed, &out)?;
        }
        FileCommand::Report { template, draft } => {
            report(server, &format!("/v1/templates/{template}/report?draft={draft}")).await?;
        }
        FileCommand::Preview { template, out, draft } => {
            let page = fetch(server, &format!("/v1/templates/{template}/preview?draft={draft}")).await?;
            fs::write(&out, &page).with_context(|| format!("cannot write {}", out.display()))?;
            say(&format!("{} shows the template", out.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(
    server: &Server,
    file: &Path,
    project: &str,
    name: Option<String>,
    images: &[String],
    variant: Option<&str>,
) -> anyhow::Result<()> {
    let api = server.api()?;
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut design: Map<String, Value> =
        serde_json::from_str(&text).with_context(|| format!("{} is no design", file.display()))?;
    let project = project_id(server, project).await?;
    let mut sets = design.remove("images").unwrap_or_else(|| json!({}));
    for image in images {
        let (role, picture) = image.split_once('=').with_context(|| format!("--image {image}: write ROLE=FILE"))?;
        sets[role] = upload(&api, role, Path::new(picture)).await?["set"].clone();
    }
    let name =
        name.or_else(|| design.get("title")?.as_str().map(str::to_owned)).context("give it a --name: the design has no title")?;
    design.insert("images".to_owned(), sets);
    let made =
        api.call(Method::POST, "/v1/templates", Some(&json!({"project": project, "name": name, "design": design}))).await?;
    let id = made["id"].as_str().context("the server answered with something else than a template")?;
    let Some(variant) = variant else { return server.print(&made) };
    let told = || format!("template {id} is made, but not published for {variant}");
    api.call(Method::POST, &format!("/v1/templates/{id}/publish"), None).await.with_context(told)?;
    draw_variant(&api, &project, variant, id).await.with_context(told)?;
    server.print(&api.call(Method::GET, &format!("/v1/templates/{id}"), None).await?)
}

/// Lets a variant of a project be drawn with a template; others stay as they are.
async fn draw_variant(api: &Api, project: &str, variant: &str, template: &str) -> anyhow::Result<()> {
    let path = format!("/v1/projects/{project}");
    let reply = api.send(Method::GET, &path, &[], "").await?;
    let mut found = api::read(&reply).with_context(|| path.clone())?;
    let version = reply.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or("*").to_owned();
    let settings = found.as_object_mut().context("the server answered with something else than a project")?;
    // What the server gave it is not asked for.
    settings.retain(|key, _| !matches!(key.as_str(), "id" | "created_at"));
    let variants = settings["variants"].as_array_mut().context("the project has no list of variants")?;
    match variants.iter_mut().find(|known| known["id"] == variant) {
        Some(known) => known["template"] = template.into(),
        None => variants.push(json!({"id": variant, "name": titled(variant), "template": template})),
    }
    let headers = [("content-type", "application/json"), ("if-match", version.as_str())];
    let reply = api.send(Method::PUT, &path, &headers, found.to_string()).await?;
    api::read(&reply).map(drop).context(path)
}

/// `gold` as people write it.
fn titled(id: &str) -> String {
    let mut letters = id.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The id of a project that is named by its slug or its id.
async fn project_id(server: &Server, named: &str) -> anyhow::Result<String> {
    Ok(saved(server, "/v1/projects", named).await?.unwrap_or_else(|| named.to_owned()))
}

async fn import(server: &Server, file: &Path, query: &str) -> anyhow::Result<()> {
    let packed =
        if file.is_dir() { pack(file)? } else { fs::read(file).with_context(|| format!("cannot read {}", file.display()))? };
    let path = format!("/v1/templates/import?{query}");
    let reply = server.api()?.send(Method::POST, &path, &[("content-type", "application/octet-stream")], packed).await?;
    let made = api::read(&reply).with_context(|| file.display().to_string())?;
    for note in made["report"].as_array().into_iter().flatten() {
        let word = |key: &str| note[key].as_str().unwrap_or_default();
        complain(&format!("{:<10}  {}: {}", word("outcome"), word("path"), word("reason")));
    }
    server.print(if server.json { &made } else { &made["template"] })
}

/// A folder as an archive; links are not followed.
pub(crate) fn pack(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut files = Vec::new();
    let mut bytes = 0;
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let listed = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in listed {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            let Some(name) = entry.file_name().to_str().map(|name| format!("{prefix}{name}")) else {
                bail!("{} has a name that is no UTF-8: rename it", entry.path().display());
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else if kind.is_file() {
                let data = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                bytes += data.len();
                files.push((name, data));
            }
            if files.len() + folders.len() > MAX_PACK_FILES || bytes > MAX_PACK_BYTES {
                bail!("{} has more files, or larger ones, than any pass", folder.display());
            }
        }
    }
    files.sort();
    Ok(pkpass::pack(files.iter().map(|(path, data)| (path.as_str(), data.as_slice())), 0)?)
}

async fn fetch(server: &Server, path: &str) -> anyhow::Result<Bytes> {
    let reply = server.api()?.send(Method::GET, path, &[], "").await?;
    if !reply.status.is_success() {
        api::read(&reply).with_context(|| path.to_owned())?;
    }
    Ok(reply.body)
}

/// Writes the archive as it is, or its files into a folder that was not there.
fn write_folder(packed: &[u8], out: &Path) -> anyhow::Result<()> {
    if out.extension().is_some_and(|end| end.eq_ignore_ascii_case("zip")) {
        fs::write(out, packed).with_context(|| format!("cannot write {}", out.display()))?;
    } else {
        let package = Package::parse_folder(packed, &Limits::PASS)?;
        fs::create_dir(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        for (path, data) in package.files() {
            let file = out.join(path);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
            }
            fs::write(&file, data).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    say(&format!("{} holds the template", out.display()));
    Ok(())
}

async fn report(server: &Server, path: &str) -> anyhow::Result<()> {
    let report = server.api()?.call(Method::GET, path, None).await?;
    if server.json {
        return server.print(&report);
    }
    let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let list = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    for problem in list("problems") {
        say(&format!("problem   {}: {}", word(&problem, "path"), word(&problem, "message")));
    }
    for finding in list("findings") {
        let (severity, path) = (word(&finding, "severity"), word(&finding, "path"));
        say(&format!("{severity:<8}  {path}: {}; {}", word(&finding, "consequence"), word(&finding, "mend")));
    }
    let systems = ["ios_17", "ios_18", "ios_26", "ios_27", "watch_os", "google"];
    for system in systems {
        let losses = list("losses")
            .into_iter()
            .filter(|loss| loss["systems"].as_array().is_some_and(|all| all.iter().any(|it| it == system)));
        let lines: Vec<String> = losses.map(|loss| format!("  {}: {}", word(&loss, "path"), word(&loss, "effect"))).collect();
        let all = if lines.is_empty() { "  shows all of it".to_owned() } else { lines.join("\n") };
        say(&format!("{system}\n{all}"));
    }
    Ok(())
}
