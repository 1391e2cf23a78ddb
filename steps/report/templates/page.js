// The language switch; columns of words, which stand at the left; tables that sort by a click on a heading (numbers by
// size, everything else as text), and that show the rows with a text alone.
const button = document.getElementById("language");
button.addEventListener("click", () => {
  const chinese = document.documentElement.lang !== "zh";
  document.documentElement.lang = chinese ? "zh" : "en";
  button.textContent = chinese ? "English" : "中文";
});

function compareCells(a, b) {
  const [x, y] = [parseFloat(a), parseFloat(b)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return Number.isNaN(x) === Number.isNaN(y) ? a.localeCompare(b) : Number.isNaN(x) ? 1 : -1;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tHead.rows, ...table.tBodies[0].rows];
  for (let column = 0; column < rows[0].cells.length; column++) {
    const cells = rows.map(row => row.cells[column]);
    if (cells.every(cell => Number.isNaN(parseFloat(cell.innerText)))) cells.forEach(cell => cell.classList.add("words"));
  }
}

const LONG = 9;  // rows from which on a table can be filtered

for (const table of document.querySelectorAll("table.sortable")) {
  if (table.tBodies[0].rows.length < LONG) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "filter · 筛选";
  field.setAttribute("aria-label", field.placeholder);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.innerText.toLowerCase().includes(wanted);
  });
  table.parentNode.before(field);
}

for (const heading of document.querySelectorAll("table.sortable th")) {
  heading.addEventListener("click", () => {
    const table = heading.closest("table");
    const column = [...heading.parentNode.children].indexOf(heading);
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => (ascending ? 1 : -1) * compareCells(a.cells[column].innerText, b.cells[column].innerText));
    table.tBodies[0].append(...rows);
  });
}
