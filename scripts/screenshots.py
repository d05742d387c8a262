#!/usr/bin/env python3
"""Takes the pictures of the documentation: a person registers at the running web app (`make up`) and asks something.

    scripts/screenshots.py [FOLDER]     writes docs/images/*.png; needs chromium and chromedriver
"""

import base64
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
APP, LANDING = "http://app-chat.localhost:8080", "http://chat.localhost:8080"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PATIENCE_SECONDS = 20
# The model of development repeats what it is asked.
QUESTIONS = ["What should a small team know before it runs its own servers?", "Which of these would you do first?"]


class Browser:
    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}}
        self.base += "/session/" + self.until(lambda: self.call("POST", "/session", wanted))["sessionId"]

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def until(self, attempt):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                if (value := attempt()) is not None:
                    return value
            except OSError:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                sys.exit("the page does not show what it should")
            time.sleep(0.05)

    def size(self, width, height):
        # The window's frame counts in headless mode too: set the page itself.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": False}
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def find(self, css):
        return self.until(lambda: self.call("POST", "/element", {"using": "css selector", "value": css}))[ELEMENT]

    def type(self, css, text):
        self.call("POST", f"/element/{self.find(css)}/value", {"text": text})

    def click(self, css):
        self.call("POST", f"/element/{self.find(css)}/click", {})

    def run(self, script):
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))
        print(path)

    def close(self):
        # Ends the browser; the driver alone would leave it behind.
        self.call("DELETE", "")
        self.driver.terminate()
        self.driver.wait()


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    try:
        browser.size(1280, 800)
        browser.open(LANDING)
        browser.picture(folder / "landing.png")
        browser.open(f"{APP}/register")
        browser.picture(folder / "register.png")
        browser.type("#name", "Ada")
        browser.type("#email", f"ada-{time.time_ns()}@example.org")
        browser.type("#password", "correct horse battery")
        browser.click("form button[type=submit]")
        browser.find("#credits[data-credits='50']")
        browser.picture(folder / "welcome.png")
        for left, question in zip((49, 48), QUESTIONS):
            browser.type("#prompt", question)
            browser.click("#send")
            browser.find(f"#credits[data-credits='{left}']")
        time.sleep(0.5)
        browser.picture(folder / "chat.png")
        browser.run("document.documentElement.dataset.theme = 'dark'")
        browser.picture(folder / "chat-dark.png")
        browser.size(390, 844)
        browser.picture(folder / "chat-phone.png")
    finally:
        browser.close()


if __name__ == "__main__":
    main()
