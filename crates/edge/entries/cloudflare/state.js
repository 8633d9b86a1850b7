// What the gateway keeps in its Durable Object: one table of records, one of what conversations have left behind, and keys.
// A call returns what it has done; the platform writes it behind, and holds answers back until it is on disk.

// Records and contents beyond are dropped: those that end soonest.
const MOST = 5000;

export class State {
  // Nobody else writes into it.
  isAlone = true;
  #sql;

  constructor(sql) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS records (name TEXT PRIMARY KEY, rank INTEGER, until INTEGER, record TEXT) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS contents (name TEXT PRIMARY KEY, until INTEGER, value TEXT) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS keys (entry TEXT PRIMARY KEY) WITHOUT ROWID;`);
  }

  read() {
    for (const table of ["records", "contents"]) {
      this.#sql.exec(`DELETE FROM ${table} WHERE until <= ?`, Date.now());
      const [{ count }] = this.#sql.exec(`SELECT count(*) AS count FROM ${table}`).toArray();
      if (count > MOST) {
        const soonest = `SELECT name FROM ${table} ORDER BY until LIMIT ?`;
        this.#sql.exec(`DELETE FROM ${table} WHERE name IN (${soonest})`, count - MOST);
      }
    }
    const column = (name, table) => this.#sql.exec(`SELECT ${name} FROM ${table}`).raw().toArray().flat();
    const records = column("record", "records").join(",");
    return `{"cursor":null,"records":[${records}],"keys":${JSON.stringify(column("entry", "keys"))}}`;
  }

  write(records) {
    for (const record of JSON.parse(records)) {
      const [name, rank, until] = record;
      this.#sql.exec(
        `INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
         SET rank = excluded.rank, until = excluded.until, record = excluded.record WHERE excluded.rank >= rank`,
        name, rank, until, JSON.stringify(record),
      );
    }
  }

  find(names) {
    const find = (name) => this.#sql.exec("SELECT value FROM contents WHERE name = ?", name).toArray()[0]?.value;
    return names.map(find);
  }

  keep(contents) {
    for (const row of JSON.parse(contents)) this.#sql.exec("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", ...row);
  }

  change(add, remove) {
    for (const entry of add) this.#sql.exec("INSERT OR IGNORE INTO keys VALUES (?)", entry);
    for (const entry of remove) this.#sql.exec("DELETE FROM keys WHERE entry = ?", entry);
  }
}
