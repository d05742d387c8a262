// Makes one tree of elements like another and leaves what is the same as it is: what is being read does not move, what is marked stays
// marked, and nothing flickers.

/** Elements that this page has put there itself. */
const OURS = ".copy";

/** Gives `into` the children of `from`, which loses those that are new. */
export function morph(into: Node, from: Node): void {
  const old = [...into.childNodes].filter((node) => !(node instanceof Element && node.matches(OURS)));
  const fresh = [...from.childNodes];
  fresh.forEach((node, n) => {
    const was = old[n];
    if (was === undefined) into.insertBefore(node, into.lastChild instanceof Element && into.lastChild.matches(OURS) ? into.lastChild : null);
    else if (was instanceof Text && node instanceof Text) say(was, node.data);
    else if (was instanceof Element && node instanceof Element && was.nodeName === node.nodeName) {
      copyAttributes(was, node);
      morph(was, node);
    } else into.replaceChild(node, was);
  });
  for (const node of old.slice(fresh.length)) node.remove();
}

function say(text: Text, data: string): void {
  if (data === text.data) return;
  // Adding to a text keeps what is marked in it.
  if (data.startsWith(text.data)) text.appendData(data.slice(text.data.length));
  else text.data = data;
}

function copyAttributes(into: Element, from: Element): void {
  for (const { name } of [...into.attributes]) if (!from.hasAttribute(name)) into.removeAttribute(name);
  for (const { name, value } of from.attributes) if (into.getAttribute(name) !== value) into.setAttribute(name, value);
}
