//! A browser of its own for a test: headless Chromium, led through its `DevTools` protocol.
//!
//! The pointer is a real one: it is moved and pressed where an element is, so that what lies above takes the click.

mod process;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use self::process::Process;

/// What went wrong, in words.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked whether something is true.
const LOOK: Duration = Duration::from_millis(50);

/// What is told of a page at most.
const MAX_NOTES: usize = 1_000;

/// The middle of an element, if it can be seen; the pointer's target is what is asked for.
const MIDDLE: &str = r"
    const element = document.querySelector(selector);
    if (!element) return 'there is no such element';
    element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    const room = element.getBoundingClientRect();
    if (!room.width || !room.height) return 'it takes up no room';
    const [x, y] = [room.left + room.width * share, room.top + room.height / 2];
    const hit = document.elementFromPoint(x, y);
    if (!hit) return `it is off the screen, at ${x}, ${y}`;
    return element.contains(hit) ? [x, y] : `it lies under ${hit.cloneNode().outerHTML}`;
";

/// A browser with one page. It ends with this value.
#[derive(Debug)]
pub struct Browser {
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    last_id: u64,
    is_loaded: bool,
    warnings: Vec<String>,
    requests: Vec<String>,
    // Ends before its folder goes away.
    _process: Process,
    _folder: TempDir,
}

impl Browser {
    /// Starts Chromium with an empty page.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (process, address) = Process::start(folder.path())?;
        let stream = TcpStream::connect_timeout(&port(&address)?, COMMAND_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(COMMAND_TIMEOUT))?;
        stream.set_write_timeout(Some(COMMAND_TIMEOUT))?;
        let (socket, _) = tungstenite::client(&*address, stream)
            .map_err(|error| format!("Chromium at {address}: {error}"))?;
        let mut browser = Self {
            socket,
            session: None,
            last_id: 0,
            is_loaded: false,
            warnings: Vec::new(),
            requests: Vec::new(),
            _process: process,
            _folder: folder,
        };
        let page = browser.command("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attached = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.command("Target.attachToTarget", &attached)?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.command(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Opens a URL, `file://` or `http://`, and waits until it is loaded. What was told of the page before is forgotten.
    pub fn open(&mut self, url: &str) -> Result<()> {
        (self.is_loaded, self.warnings, self.requests) = (false, Vec::new(), Vec::new());
        let begun = self.command("Page.navigate", &json!({ "url": url }))?;
        if let Some(error) = begun["errorText"].as_str() {
            return Err(format!("cannot open {url}: {error}").into());
        }
        let until = now() + COMMAND_TIMEOUT;
        while !self.is_loaded {
            self.read(until).map_err(|error| format!("{url} does not load: {error}"))?;
        }
        Ok(())
    }

    /// The value of an expression in the page; a promise's is awaited.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.command("Runtime.evaluate", &asked)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(format!("`{expression}` throws: {}", exception(thrown)).into()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression is true, even if another page comes meanwhile.
    pub fn wait_until(&mut self, expression: &str) -> Result<()> {
        let until = now() + COMMAND_TIMEOUT;
        loop {
            let found = self.evaluate(expression);
            if matches!(found, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if now() > until {
                let warnings = self.warnings().join("\n");
                return Err(format!("`{expression}` comes to {found:?} still\n{warnings}").into());
            }
            // What is told meanwhile is noted.
            let _ = self.read(now() + LOOK);
        }
    }

    /// Presses the pointer on the middle of an element.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let (x, y) = self.hover(selector, 0.5)?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.command("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Moves the pointer over an element, to a share of its width from its left, and to the middle of its height;
    /// says where that is.
    pub fn hover(&mut self, selector: &str, share: f64) -> Result<(f64, f64)> {
        let find = format!("((selector, share) => {{ {MIDDLE} }})({}, {share})", json!(selector));
        let found = self.evaluate(&find)?;
        let (Some(x), Some(y)) = (found[0].as_f64(), found[1].as_f64()) else {
            return Err(format!("cannot point at `{selector}`: {found}").into());
        };
        let event = json!({ "type": "mouseMoved", "x": x, "y": y });
        self.command("Input.dispatchMouseEvent", &event)?;
        Ok((x, y))
    }

    /// Writes text where the cursor is.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.command("Input.insertText", &json!({ "text": text })).map(|_| ())
    }

    /// Gives the page another size.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &size).map(|_| ())
    }

    /// Says whether the reader prefers a dark page.
    pub fn media(&mut self, dark: bool) -> Result<()> {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", &json!({ "features": features })).map(|_| ())
    }

    /// Lets pages that are opened from now on run scripts, or not.
    pub fn script_enabled(&mut self, enabled: bool) -> Result<()> {
        self.command("Emulation.setScriptExecutionDisabled", &json!({ "value": !enabled })).map(|_| ())
    }

    /// Writes a picture of the whole page, as PNG.
    pub fn screenshot(&mut self, path: &Path) -> Result<()> {
        let layout = self.command("Page.getLayoutMetrics", &json!({}))?;
        let mut clip = layout["cssContentSize"].clone();
        clip["scale"] = json!(1);
        let asked = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.command("Page.captureScreenshot", &asked)?;
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap_or_default())?;
        fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
    }

    /// Warnings and errors in the console since the page was opened, and exceptions that nobody caught.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The URLs that were asked for since the page was opened, its own first.
    #[must_use]
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    /// What a command answers. Events that come before the answer are noted.
    fn command(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let until = now() + COMMAND_TIMEOUT;
        self.socket.send(Message::text(command.to_string())).map_err(|error| format!("{method}: {error}"))?;
        loop {
            let message = self.read(until).map_err(|error| format!("{method}: {error}"))?;
            if message["id"] != self.last_id {
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(format!("{method}: {error}").into()),
                None => Ok(message["result"].clone()),
            };
        }
    }

    /// The next message; if it is an event, it is noted.
    fn read(&mut self, until: Instant) -> Result<Value> {
        let left = until.checked_duration_since(now()).filter(|left| !left.is_zero());
        let left = left.ok_or("no answer in time")?;
        self.socket.get_ref().set_read_timeout(Some(left))?;
        let message = match self.socket.read() {
            Ok(message) => serde_json::from_str(message.to_text()?).unwrap_or_default(),
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err("no answer in time".into());
            }
            Err(error) => return Err(format!("the browser is gone: {error}").into()),
        };
        self.note(&message);
        Ok(message)
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let entry = &params["entry"];
        let is_serious = |kind: &Value| ["error", "assert", "warning"].iter().any(|serious| kind == serious);
        let warning = match event["method"].as_str() {
            Some("Page.loadEventFired") => return self.is_loaded = true,
            Some("Network.requestWillBeSent") if self.requests.len() < MAX_NOTES => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                return self.requests.push(url.to_owned());
            }
            Some("Runtime.consoleAPICalled") if is_serious(&params["type"]) => params["args"].to_string(),
            Some("Runtime.exceptionThrown") => exception(&params["exceptionDetails"]),
            Some("Log.entryAdded") if is_serious(&entry["level"]) => {
                format!("{}: {} {}", entry["source"], entry["text"], entry["url"])
            }
            _ => return,
        };
        if self.warnings.len() < MAX_NOTES {
            self.warnings.push(warning);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it if it ends by itself.
        self.session = None;
        if self.command("Browser.close", &json!({})).is_ok() {
            while self.read(now() + COMMAND_TIMEOUT).is_ok() {}
        }
    }
}

/// The port of `ws://127.0.0.1:PORT/…`.
fn port(address: &str) -> Result<SocketAddr> {
    let port = address.strip_prefix("ws://127.0.0.1:").and_then(|rest| rest.split('/').next()?.parse().ok());
    let port: u16 = port.ok_or_else(|| format!("Chromium listens at {address}"))?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn exception(details: &Value) -> String {
    let text = details["exception"]["description"].as_str().or(details["text"].as_str());
    text.unwrap_or("an exception").to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a browser lives by the wall's clock")]
fn now() -> Instant {
    Instant::now()
}
