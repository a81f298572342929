"""Small files of data, as users bring them, written by the libraries that write them for users."""

import numpy as np
import pandas as pd
import scipy.sparse
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits


def cells(path, rows=60, genes=12, sparse=True, seed=0):
    """An .h5ad of counts: X, a layer "doubled", raw, and the columns type and donor of obs.

    Returns what was written, an AnnData.
    """
    import anndata

    random = np.random.default_rng(seed)
    counts = random.poisson(random.gamma(1.0, 2.0, (rows, genes))).astype(np.float32)
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(random.choice(["B", "T", "NK"], rows)),
            "donor": random.choice(["d1", "d2"], rows),
        },
        index=[f"cell{i}" for i in range(rows)],
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(genes)])
    matrix = scipy.sparse.csr_matrix(counts) if sparse else counts
    written = anndata.AnnData(matrix, obs=obs, var=var, layers={"doubled": 2 * matrix})
    written.raw = written.copy()
    written.write_h5ad(path)
    return written


def old_cells(path, rows=20, genes=5):
    """The same as anndata wrote it before 0.7: tables of records, categories in uns, raw.X.

    Returns the counts, and the names of the types.
    """
    import h5py

    random = np.random.default_rng(2)
    counts = random.poisson(2.0, (rows, genes)).astype(np.float32)
    codes = random.integers(-1, 2, rows).astype("i1")
    obs = np.empty(rows, [("index", "S8"), ("type", "i1"), ("age", "f4")])
    obs["index"], obs["type"], obs["age"] = [f"c{i}" for i in range(rows)], codes, 3.5
    var = np.empty(genes, [("index", "S8")])
    var["index"] = [f"g{j}" for j in range(genes)]
    sparse = scipy.sparse.csr_matrix(counts)
    with h5py.File(path, "w") as file:
        file["X"] = np.log1p(counts)
        file["obs"], file["var"], file["raw.var"] = obs, var, var
        file["uns/type_categories"] = np.array([b"B", b"T"])
        raw = file.create_group("raw.X")
        raw.attrs["h5sparse_format"] = "csr"
        raw.attrs["h5sparse_shape"] = counts.shape
        for name in ("data", "indices", "indptr"):
            raw[name] = getattr(sparse, name)
    return counts, ["(none)" if code < 0 else "BT"[code] for code in codes]


def cancer(path, rows=569):
    """scikit-learn's breast cancer as a CSV with a header and the column target, of names."""
    loaded = load_breast_cancer(as_frame=True)
    frame = loaded.frame.iloc[:rows].copy()
    frame["target"] = loaded.target_names[frame["target"]]
    frame.to_csv(path, index=False)
    return frame


def digits(path, rows=300):
    """scikit-learn's digits as grey levels from 0 to 16, as an .npy [N, 8, 8]."""
    images = load_digits().images[:rows]
    np.save(path, images)
    return images


def pictures(folder, each=12, size=(6, 5), mode="L", suffix="png", classes=("cat", "dog")):
    """Images in a subfolder a class. Returns their pixels, in the order of the paths."""
    random = np.random.default_rng(4)
    written = []
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            shape = (*size, 3) if mode == "RGB" else size
            pixels = random.integers(0, 256, shape).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.{suffix}")
            written.append(pixels)
    return np.stack(written)


def table(path, rows=40, seed=5):
    """A Parquet file of two real columns and a column kind of names."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})
    frame["kind"] = random.choice(["u", "v"], rows)
    frame.to_parquet(path)
    return frame
