// What is wrong with how a page looks: texts that are too pale, and what sticks out of its card.
() => {
  const numbers = (text) => text.match(/[\d.]+/g).map(Number);
  // relative luminance and contrast: WCAG 2.2
  const light = (colour) =>
    colour
      .slice(0, 3)
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const wrong = [];
  for (const node of document.body.querySelectorAll("*")) {
    if (node.closest("svg, .unseen, .skip, [hidden], template, :disabled")) continue;
    const box = node.getBoundingClientRect();
    const card = node.parentElement.closest(".card");
    const edge = card
      ? card.getBoundingClientRect().right - parseFloat(getComputedStyle(card).paddingRight)
      : innerWidth;
    if (box.right > edge + 1 && !node.closest(".wide, .log")) {
      wrong.push(`${node.tagName}.${node.className} sticks out by ${box.right - edge}`);
    }
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own) continue;
    const style = getComputedStyle(node);
    const [low, high] = [light(numbers(style.color)), light(behind(node))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    const needed = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    if (contrast < needed) wrong.push(`${node.textContent.trim()} has a contrast of ${contrast.toFixed(2)}`);
  }
  return wrong;
}
