//! AWS on this machine, fresh for each test.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::{Place, Ran};

/// The region that everything is in.
pub const REGION: &str = "eu-west-1";

/// An emulator of its own, and a place to run the command in.
pub struct Aws {
    /// Where the command runs.
    pub place: Place,
    /// What stands before the emulator, if anything.
    pub proxy: Option<Proxy>,
    state: TempDir,
    port: u16,
    access_key: String,
    secret_key: String,
}

impl Aws {
    /// The emulator by itself.
    #[must_use]
    pub fn start() -> Self {
        Self::new(false, false)
    }

    /// With a proxy between it and everybody.
    #[must_use]
    pub fn behind_a_proxy() -> Self {
        Self::new(true, false)
    }

    /// With a proxy that pretends TLS, and with policies enforced.
    #[must_use]
    pub fn with_policies() -> Self {
        Self::new(true, true)
    }

    #[expect(clippy::expect_used, reason = "a test without the emulator cannot go on")]
    fn new(proxy: bool, auth: bool) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let proxy = proxy.then(|| Proxy::start(port));
        let mut up = Command::new(root().join("scripts/aws-local"));
        up.args(["up", "--port", &port.to_string(), "--state"]).arg(state.path());
        up.args(proxy.iter().flat_map(|proxy| ["--endpoint".to_owned(), proxy.url()]));
        up.args(auth.then_some("--auth"));
        let output = up.output().expect("Python 3 runs scripts/aws-local");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (access_key, secret_key) = ("test".to_owned(), "test".to_owned());
        Self { place: Place::new(), proxy, state, port, access_key, secret_key }
    }

    /// Runs the command as somebody else from now on.
    pub fn become_user(&mut self, access_key: &str, secret_key: &str) {
        access_key.clone_into(&mut self.access_key);
        secret_key.clone_into(&mut self.secret_key);
    }

    /// Where the emulator itself listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The proxy.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test that asks for it has started it")]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a proxy")
    }

    /// Where clients find AWS.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.proxy.as_ref().map_or_else(|| self.own_endpoint(), Proxy::url)
    }

    fn own_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The command, to be run here. It knows no account but the emulator's.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", &self.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("AWS_CONFIG_FILE", self.place.path().join("aws-config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.place.path().join("aws-credentials"));
        command
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without the command cannot go on")]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().expect("the command"))
    }

    /// Starts the command.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without the command cannot go on")]
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().expect("the command")
    }

    /// Deploys the fleet as it is given to users.
    ///
    /// # Panics
    /// If that does not work.
    pub fn deploy(&self) {
        self.deploy_with(&[]);
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// If that does not work.
    pub fn deploy_with(&self, arguments: &[&str]) {
        let zip = zip();
        let zip = zip.to_string_lossy();
        let ran = self.run(&[&["deploy", "--zip", &zip], arguments].concat());
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    }

    /// Asks AWS something in its old form, in which this account needs no signature. `what` is a form.
    #[must_use]
    pub fn ask(&self, service: &str, what: &str) -> String {
        let (_, text) = self.http(service, "POST", "/", &[], what.as_bytes());
        text
    }

    /// A request to the emulator itself: status and body.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test whose emulator is gone cannot go on")]
    pub fn http(
        &self,
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let scope = format!("test/20000101/{REGION}/{service}/aws4_request");
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{more}",
            self.port,
            body.len()
        );
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the emulator");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("a request");
        stream.write_all(body).expect("a body");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// Keeps a text where secrets are kept: in SSM, or in Secrets Manager if its name does not begin with `/`.
    ///
    /// # Panics
    /// If it is not taken.
    pub fn keep_secret(&self, name: &str, text: &str) {
        let (service, action, body) = if name.starts_with('/') {
            let body = json!({ "Name": name, "Value": text, "Type": "SecureString" });
            ("ssm", "AmazonSSM.PutParameter", body)
        } else {
            let body = json!({ "Name": name, "SecretString": text });
            ("secretsmanager", "secretsmanager.CreateSecret", body)
        };
        let answer =
            self.http(service, "POST", "/", &[("X-Amz-Target", action)], body.to_string().as_bytes());
        assert_eq!(answer.0, 200, "{}", answer.1);
    }

    /// What the stack says of itself.
    ///
    /// # Panics
    /// If it says no such thing.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its stack cannot go on")]
    pub fn output(&self, name: &str) -> String {
        let form = "Action=DescribeStacks&Version=2010-05-15&StackName=squall";
        let stacks = self.ask("cloudformation", form);
        let after = stacks.split_once(&format!("<OutputKey>{name}</OutputKey>")).map(|(_, rest)| rest);
        after.and_then(|rest| tag(rest, "OutputValue")).expect("an output of the stack")
    }

    /// Lets the function run so many times at once, and no more.
    ///
    /// # Panics
    /// If that is not taken.
    pub fn reserve(&self, invocations: u32) {
        let path = format!("/2017-10-31/functions/{}/concurrency", self.output("Function"));
        let body = json!({ "ReservedConcurrentExecutions": invocations }).to_string();
        let answer = self.http("lambda", "PUT", &path, &[], body.as_bytes());
        assert_eq!(answer.0, 200, "{}", answer.1);
    }

    /// Puts a message into a queue.
    ///
    /// # Panics
    /// If the queue does not take it.
    pub fn send(&self, queue_url: &str, body: &str) {
        let form = format!(
            "Action=SendMessage&Version=2012-11-05&QueueUrl={}&MessageBody={}",
            encode(queue_url),
            encode(body)
        );
        let answer = self.ask("sqs", &form);
        assert!(answer.contains("MessageId"), "{answer}");
    }

    /// Takes messages out of a queue, and hides them.
    #[must_use]
    pub fn receive(&self, queue_url: &str) -> Vec<String> {
        let form = format!(
            "Action=ReceiveMessage&Version=2012-11-05&MaxNumberOfMessages=10&VisibilityTimeout=600&QueueUrl={}",
            encode(queue_url)
        );
        let answer = self.ask("sqs", &form);
        answer.split("<Message>").skip(1).filter_map(|message| tag(message, "Body")).collect()
    }

    /// How many messages are in a queue, taken or not.
    #[must_use]
    pub fn backlog(&self, queue_url: &str) -> usize {
        let form = format!(
            "Action=GetQueueAttributes&Version=2012-11-05&AttributeName.1=All&QueueUrl={}",
            encode(queue_url)
        );
        let answer = self.ask("sqs", &form);
        let count = |name: &str| {
            let rest = answer.split_once(&format!("<Name>{name}</Name>")).map_or("", |(_, rest)| rest);
            tag(rest, "Value").and_then(|count| count.parse().ok()).unwrap_or(0)
        };
        count("ApproximateNumberOfMessages") + count("ApproximateNumberOfMessagesNotVisible")
    }

    /// The keys in the fleet's bucket.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let path = format!("/{}?list-type=2", self.output("Bucket"));
        let (_, listing) = self.http("s3", "GET", &path, &[], b"");
        listing
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()))
            .collect()
    }

    /// Where the emulator keeps its files.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        let mut down = Command::new(root().join("scripts/aws-local"));
        // What is not ended here is seen by whoever looks for it; a test has its verdict by now.
        let _: Result<Output, _> = down.args(["down", "--state"]).arg(self.state.path()).output();
    }
}

/// The generator as it is given to users.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn zip() -> PathBuf {
    let zip = root().join("dist/bootstrap.zip");
    assert!(zip.is_file(), "the generator is built: `cargo xtask dist`");
    zip
}

/// The folder of the project.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The template, changed: each text is there once, and replaced by the other.
///
/// # Panics
/// If a text is not there, or more than once.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without the template cannot go on")]
pub fn template(changes: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(root().join("infra/squall.yaml")).expect("the template");
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "`{from}` in the template");
        text = text.replace(from, to);
    }
    text
}

/// The text within the first element of that name.
#[must_use]
pub fn tag(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

/// For a form.
#[must_use]
pub fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// The number at a place of a JSON document.
///
/// # Panics
/// If there is none.
#[must_use]
#[expect(clippy::expect_used, reason = "a test whose result has another form cannot go on")]
pub fn number(json: &Value, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Value::as_u64).expect("a number")
}

#[expect(clippy::expect_used, reason = "a test without a port cannot go on")]
fn free_port() -> u16 {
    let probe = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    probe.local_addr().expect("its address").port()
}
