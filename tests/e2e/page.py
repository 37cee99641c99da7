#!/usr/bin/env python3
"""Uses the agent's web page as a person would, in headless Chromium driven through chromedriver.

Usage: page.py URL TOKEN SCREENSHOT

Prints one line for each thing seen; ends with 1 and says what was there instead where something is missing. Needs
Debian's chromium and chromium-driver, and of Python the standard library only.
"""

import base64
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 20
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1200,1000",
]


class Browser:
    """One browser session."""

    def __init__(self, profile):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
        wait_for(lambda: self.call("GET", "/status")["ready"], "chromedriver is ready")
        options = {"args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.base += "/session/" + session["sessionId"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def element(self, selector):
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        return "/element/" + found[ELEMENT]

    def text(self, selector):
        return self.call("GET", self.element(selector) + "/text")

    def write(self, selector, text):
        element = self.element(selector)
        self.call("POST", element + "/clear", {})
        self.call("POST", element + "/value", {"text": text})

    def click(self, selector):
        self.call("POST", self.element(selector) + "/click", {})

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE_SECONDS
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (urllib.error.URLError, ConnectionError) as error:
            last = error
        time.sleep(0.1)
    sys.exit(f"not seen: {what}; last: {last!r}")


def see(browser, selector, word, what):
    def there():
        text = browser.text(selector)
        see.last = text
        return word in text
    see.last = ""
    try:
        wait_for(there, what)
    except SystemExit as error:
        sys.exit(f"{error}; {selector} says: {see.last!r}")
    print(f"seen: {what}")


def use(browser, url, token, screenshot):
    browser.call("POST", "/url", {"url": url})
    see(browser, "#token-section", "Token", "the page asks for the token")
    browser.write("input[name=token]", token)
    browser.click("#token-form button")
    see(browser, "#state", "watching", "what is watched")
    browser.write("input[name=localIPAddress]", "10.77.0.1")
    browser.write("input[name=remoteIPAddress]", "203.0.113.9")
    browser.write("input[name=localPort]", "81")
    browser.click("#verify-form button")
    see(browser, "#answer", "Deny by defaultSecurityRules/DenyAllInBound", "a verdict")
    see(browser, "#explanation", "DenyAllInBound", "its explanation")
    browser.write("input[name=localPort]", "99999")
    browser.click("#verify-form button")
    see(browser, "#answer", "99999", "what is wrong with a bad port")
    browser.write("input[name=localPort]", "81")
    browser.click("#verify-form button")
    see(browser, "#live tbody", "deny-discard", "live verdicts")
    see(browser, "#rules tbody", "deny-discard", "hits by rule")
    with open(screenshot, "wb") as file:
        file.write(base64.b64decode(browser.call("GET", "/screenshot")))
    said = browser.call("POST", "/se/log", {"type": "browser"})
    # The first questions, before the token, and the bad port are refused on purpose.
    unexpected = [line["message"] for line in said if line["level"] == "SEVERE" and "Failed to load resource" not in line["message"]]
    if unexpected:
        sys.exit(f"the browser complains: {unexpected}")
    print("seen: no complaint of the browser")


def main():
    url, token, screenshot = sys.argv[1:]
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            use(browser, url, token, screenshot)
        finally:
            browser.close()


if __name__ == "__main__":
    main()
