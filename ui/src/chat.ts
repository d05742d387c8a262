// What chat-web's pages need. Each works without it: forms post and pages load; this makes answers stream.
import "htmx.org";
import { startAccount } from "./chat/account";
import { Attachments } from "./chat/attachments";
import { Composer } from "./chat/composer";
import { addCopyButtons } from "./chat/copy";
import { Credits } from "./chat/credits";
import { Messages } from "./chat/messages";
import { startThemeSwitch } from "./theme";

function find<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element as T;
}

function startChat(form: HTMLFormElement): void {
  const scroller = find("thread");
  const messages = new Messages(find("messages"), scroller, find<HTMLTemplateElement>("message-template"));
  const credits = new Credits(find("credits"), find("out-of-credits"), find<HTMLSelectElement>("model"));
  const problem = find("problem");
  const attachments = new Attachments(find<HTMLInputElement>("attachments"), find("attached"), (text) => {
    problem.textContent = text;
    problem.hidden = false;
  });
  attachments.start(find<HTMLButtonElement>("attach"), find<HTMLInputElement>("files"));
  const composer = new Composer(
    {
      form,
      prompt: find<HTMLTextAreaElement>("prompt"),
      send: find<HTMLButtonElement>("send"),
      stop: find<HTMLButtonElement>("stop"),
      conversation: find<HTMLInputElement>("conversation"),
      status: find("status"),
      problem,
      welcome: find("welcome"),
      heading: find("heading"),
      options: find("options"),
    },
    messages,
    credits,
    attachments,
  );
  composer.start();
  for (const idea of document.querySelectorAll<HTMLButtonElement>(".ideas button")) {
    idea.addEventListener("click", () => composer.fill(idea.textContent?.trim() ?? ""));
  }
  if (!location.hash.startsWith("#m-")) messages.toEnd();
}

startThemeSwitch();
addCopyButtons(document);
document.addEventListener("htmx:after:swap", () => addCopyButtons(document));
startAccount();
const form = document.getElementById("composer");
if (form instanceof HTMLFormElement) startChat(form);
