// Says in words where a picture can't be had.
for (const picture of document.querySelectorAll("img.crop")) {
  const missing = () => {
    const text = document.createElement("p");
    text.className = "missing";
    text.textContent = "The picture can't be had.";
    picture.replaceWith(text);
  };
  if (picture.complete && !picture.naturalWidth && picture.loading !== "lazy") missing();
  else picture.addEventListener("error", missing);
}
