"""What a fleet costs: size and start of the generator, time and memory of offering many seats."""

import http.server
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import tempfile
import threading
import time
import zipfile

from .machine import ROOT, measured, target_dir


def fleet(options):
    """Measures both, and prints what came of it."""
    figures = {"generator": generator(), "invitations": invitations(options.seats)}
    own, offered = figures["generator"], figures["invitations"]
    start = own["first_poll_ms"]
    print(f"generator: zip {own['zip_mb']:.2f} MB (goal 6), needs glibc {own['glibc']} (Lambda has 2.34)")
    print(f"exec to first poll: median {start['median']:.1f} ms, {start['min']:.1f} to {start['max']:.1f} (goal 30)")
    print(f"{offered['seats']:,} seats offered in {offered['seconds']:.2f} s (goal 5), "
          f"{offered['max_rss_mb']:.1f} MB (goal 100)")
    return figures


def generator():
    """The generator as it is given to Lambda: its zip's size, the glibc it needs, and how fast it starts."""
    subprocess.check_call(["cargo", "xtask", "generator"], cwd=ROOT, stdout=subprocess.DEVNULL)
    path = os.path.join(ROOT, "dist", "bootstrap.zip")
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        binary = archive.extract("bootstrap", folder)
        os.chmod(binary, 0o755)
        with open(binary, "rb") as file:
            versions = re.findall(rb"GLIBC_(\d+)\.(\d+)", file.read())
        starts = sorted(first_poll_ms(binary) for _ in range(21))
    return {
        "zip_mb": os.path.getsize(path) / 1e6,
        "glibc": ".".join(map(str, max((int(major), int(minor)) for major, minor in versions))),
        "first_poll_ms": {"min": starts[0], "median": starts[10], "max": starts[-1]},
    }


def first_poll_ms(binary):
    """From exec to the first request for an invocation."""
    polled = threading.Event()

    class Runtime(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            polled.at = time.perf_counter()
            polled.set()
            # Nothing ever comes; the process is ended below.
            time.sleep(0.2)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}", "AWS_REGION": "eu-west-1",
        "AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_LOG_STREAM_NAME": "bench", "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "SQUALL_BUCKET": "bench", "SQUALL_QUEUE_URL": "http://127.0.0.1/bench",
    }
    begin = time.perf_counter()
    process = subprocess.Popen([binary], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not polled.wait(10):
            raise RuntimeError("the generator never asked for an invocation")
        return (polled.at - begin) * 1e3
    finally:
        process.kill()
        process.wait()
        server.shutdown()
        server.server_close()


def invitations(seats):
    """Offering seats to a queue of the emulator: seconds, and the memory of the process that does it."""
    loader = importlib.machinery.SourceFileLoader("aws_local", os.path.join(ROOT, "scripts", "aws-local"))
    spec = importlib.util.spec_from_loader("aws_local", loader)
    aws_local = importlib.util.module_from_spec(spec)
    loader.exec_module(aws_local)
    build = ["cargo", "build", "--release", "--package", "squall-aws", "--example", "invite"]
    subprocess.check_call(build, cwd=ROOT)
    program = os.path.join(target_dir(), "release", "examples", "invite")
    with tempfile.TemporaryDirectory() as state:
        endpoint = aws_local.start(state)
        try:
            answer = aws_local.ask(endpoint, "sqs", Action="CreateQueue", Version="2012-11-05", QueueName="bench")
            url = re.search(r"<QueueUrl>(.*?)</QueueUrl>", answer).group(1)
            os.environ.update(aws_local.environment(endpoint))
            run = measured([program, url, str(seats)])
            attributes = {"Action": "GetQueueAttributes", "Version": "2012-11-05", "QueueUrl": url}
            answer = aws_local.ask(endpoint, "sqs", **attributes, **{"AttributeName.1": "All"})
            there = int(re.search(r"ApproximateNumberOfMessages</Name>\s*<Value>(\d+)", answer).group(1))
            assert there == seats, f"{there} of {seats} seats are in the queue"
        finally:
            aws_local.stop(state)
    return {"seats": seats, "seconds": float(run.output), "max_rss_mb": run.rss_kb / 1024}
