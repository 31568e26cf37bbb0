"""What the commands say of themselves: help texts and the tables of their flags."""

from tf_compleak.data.sources import LISTING

ABOUT = """\
tf-compleak: what do compressed versions of a model tell about its training data?

Usage:
  tf-compleak run [flags]      train a target and shadows, compress them, attack, report
  tf-compleak audit [flags]    audit model files that exist already, or just their outputs
  tf-compleak show WORKDIR     the state of every stage of a run or an audit
  tf-compleak tensorboard WORKDIR... --logdir=DIR     reports as TensorBoard runs
  tf-compleak compare A B      does this release (B) leak more than the last one (A)?
  tf-compleak serve WORKDIR... studies, their state and reports on a page of this machine
  tf-compleak run --help       every flag of a command, with examples
  tf-compleak --version

The quickest look (digits, twelve versions, a minute on two cores):
  tf-compleak run --flagfile=quickstart
"""

RUN = f"""\
tf-compleak run: train a target model and shadow models, make the same compressed versions of each
with the TF Model Optimization Toolkit, query the .tflite files, fit membership inference attacks on
the shadows, score the target, and report what each release of versions leaks.

Examples:
  tf-compleak run                                          digits, all twelve versions
  tf-compleak run --flagfile=quickstart                    the same, from the shipped flagfile
  tf-compleak run --flagfile=flags/cifar10_resnet.cfg --data_dir=~/tensorflow_datasets
  tf-compleak run --versions=original,int8-ptq,pruning-0.80 --workdir=runs/three
  tf-compleak run --flagfile=runs/three/flags.cfg --workdir=runs/again      repeat a run

The examples (--dataset) are one of:
{LISTING}
A workdir holds everything a study made; the same command continues where it was stopped. Releases:
NR, one version alone; SR, the original with one other; MR, two or more others, with or without it.
Versions, attacks and releases may be added to a finished study: only what is new is computed.
Exit codes: 0 done, 2 bad input or an unusable folder, 3 --fail_if is met, 4 the report is void,
130 interrupted, 143 terminated.
In GitHub Actions the job's summary and errors at the versions' files are written, too.
"""

AUDIT = f"""\
tf-compleak audit: what do these versions of a model, as they are about to ship, tell about who was
in its training data? Takes model files (or their outputs), examples that were trained on and
examples that were not.

Examples:
  tf-compleak audit --versions=original=model.tflite,int8=model_int8.tflite \\
      --members=npz:train.npz --non_members=npz:test.npz --workdir=audits/first
  tf-compleak audit --versions=original=saved_model,int8=int8.tflite --preprocess=-1-1 \\
      --members=tfds:cifar10:train[:5000] --non_members=tfds:cifar10:test[:5000] --data_dir=DIR
  tf-compleak audit --versions=original=m.npy+n.npy --members=npy:my.npy --non_members=npy:ny.npy
  tf-compleak audit --flagfile=audit.cfg --fail_if='upper:tpr@0.01>0.05'       a gate for CI

The examples (--members, --non_members) are one of:
{LISTING}
Each of --shadows is a folder with the same versions of another model, NAME.tflite and so on, and
its members.npz and non_members.npz (or members_x.npy, members_y.npy, ..., or image folders).
Without shadows the attacks are cross-fitted over the known examples: an auditor's upper view.

Exit codes: 0 done, 2 bad input or an unusable folder, 3 --fail_if is met, 4 the report is void,
130 interrupted, 143 terminated.
In GitHub Actions the job's summary and errors at the versions' files are written, too.
"""

# name, help; grouped as --help shows them. The question and how it runs are the same everywhere.
QUESTION_FLAGS = {
    "Attacks": [
        (
            "attacks",
            "NR: confidence, loss, entropy, modified-entropy (also with -global), "
            "shokri-, nasr- (lr, rf, mlp), samia; SR: sr1-, sr2- (lr, rf, mlp); MR: mr, mr-rf; "
            "any release: tabular; with shadows: calibrated, base, rmia, lira-offline, "
            "lira-online, lira-boosted; what two or more tell together is the row strongest, by "
            "which reports are judged",
        ),
        (
            "releases",
            "releases to attack, each as names joined by +, such as "
            "original+int8-ptq,int8-ptq, one of several steps in parentheses: "
            "original+(pruning-0.80+int8-ptq); empty: every version alone, the original with "
            "each other one, and all with and without the original",
        ),
        (
            "exposure",
            "full | topK | label | round:D | temperature:T: what of its confidences the app shows; "
            "several give a comparison, the first is the one reported in full",
        ),
        (
            "shadow_counts",
            "attacker strength: attack again with that many of the shadows, such as 1,2,4,8",
        ),
        ("folds", "folds of cross-fitting, where there are no shadows"),
        (
            "queries",
            "flipped and shifted copies of every example that lira-boosted may ask about, too",
        ),
        ("sensitivity_queries", "noisy copies of every example that samia asks about; not texts"),
        ("sensitivity_epsilon", "standard deviation of that noise, in the unit of the inputs"),
        ("delta", "delta of the (epsilon, delta) bound in report.json"),
        (
            "threads",
            "threads of each process, in TensorFlow and in the .tflite interpreter; another "
            "number rounds sums differently, so it is part of the study",
        ),
        ("seed", "the one seed that every stage derives its own from"),
    ],
    "What each version adds": [
        ("marginal", "auc | accuracy | tpr@RATE: what the order of versions goes by; none: skip"),
        ("subset_budget", "such as 'tpr@0.01<=0.05': name the largest releases within it"),
        (
            "fail_if",
            "such as 'tpr@0.001>0.01' or 'upper:auc>0.6': exit code 3 when a row of strongest "
            "meets it, or any row where there is none; writes verdict.json, verdict.xml (JUnit), "
            "verdict.sarif (code scanning)",
        ),
        (
            "card",
            "README.md of the model: a section and Hugging Face's model-index are written or "
            "renewed between markers, all else stays as it is",
        ),
    ],
}

RUNNING = [
    (
        "workdir",
        "folder or bucket of the study; made if missing, refused if another study's or in use",
    ),
    ("overwrite", "use the workdir all the same; finished stages that still fit are kept"),
    (
        "workers",
        "processes; 0: one per core, up to 8, and one for attacks on 500,000 examples or more",
    ),
    ("executor", "processes | inline (everything in this process, for debugging) | ray"),
    ("ray_address", "HOST:PORT of a Ray cluster, or auto; empty: one is started for this study"),
    (
        "ray_resources",
        "what a stage asks of Ray, such as train:gpu=1,attack:cpu=2; stages: data, train, "
        "version, extra, attack; others ask for as many CPUs as --threads",
    ),
    ("ray_retries", "how often a task is begun again when Ray loses its machine"),
]

RUN_FLAGS = {
    "Data": [
        ("dataset", "the examples, see above"),
        ("data_dir", "folder of prepared TFDS data sets; nothing is ever downloaded"),
        (
            "tfds_split",
            "which TFDS examples to use where --dataset names no SPLIT, such as train+test",
        ),
        ("num_members", "training examples of every family (target and shadows each)"),
        ("num_non_members", "examples of every family that its models never see"),
        (
            "split",
            "disjoint: every model has members and non-members of its own. halves: every model is "
            "trained on a random part of one pool of num_members + num_non_members examples. "
            "coins: as halves, a fair coin of its own for every example and model, so that the "
            "bound of epsilon is exact for a single training",
        ),
        (
            "targets",
            "with halves or coins: how many models play the target in turn, their scores pooled",
        ),
        ("num_shadows", "shadow models, trained on other data, that attacks are fitted on"),
        ("num_validation", "slice that best checkpoints are chosen and accuracy drops measured on"),
        ("num_population", "slice in no model's training set, for attacks that need one"),
        (
            "save_examples",
            "keep every family's members and non-members as members.npz and non_members.npz beside "
            "their lists, so that anybody can audit its versions; as large as the data in float32",
        ),
    ],
    "Model and training": [
        (
            "model",
            "images: convnet | resnet | resnet18 | resnet50 | vgg16 | mobilenetv2; tables: dense; "
            "texts: bert | gpt2",
        ),
        (
            "depth",
            "layers with weights; convnet: 2 to 21, resnet: 6n + 2, such as 8, 20, 32, others have "
            "one depth; 0: the architecture's own",
        ),
        (
            "width",
            "channels or units of the first layer, which the others are multiples of (mobilenetv2: "
            "32 times its width multiplier); texts: hidden size; 0: the architecture's own",
        ),
        (
            "family",
            "PATH.py:NAME: a class of your own with build (your tf_keras model), with train, too "
            "(your training), or with make alone (all of it, by any library); docs/own_models.md",
        ),
        (
            "train_command",
            "a program that trains a family and writes its versions as files, such as 'python "
            "train.py --data {members} --validation {validation} --out {folder} --seed {seed}'; "
            "also {family}, {gpu}; it is split into words, and run without a shell",
        ),
        (
            "examples",
            "what --train_command is given: arrays (.npz of x and y) | ids (.txt, one a line, for "
            "a program that reads the data itself)",
        ),
        ("time_limit", "seconds that --train_command may take for a family; 0: no limit"),
        ("epochs", "epochs of training"),
        (
            "checkpoint",
            "best | last: the epoch that is kept, the one with the best validation accuracy or the "
            "last; best may fall on other epochs for shadows than for the target, whose thresholds "
            "then do not fit",
        ),
        ("batch_size", "examples in a step, in training and fine-tuning"),
        ("optimizer", "sgd | adamw (which text models need), in training and fine-tuning"),
        ("learning_rate", "first learning rate of the cosine schedule"),
        (
            "early_stopping",
            "stop a training after that many epochs without a better validation accuracy, a known "
            "defense; 0: never",
        ),
        (
            "remedies",
            "tried beside the plain study, on target and shadows alike: dp-sgd:eps=8 (or "
            "dp-sgd:eps=8:delta=1e-5:norm=1; needs 'tf-compleak[dp]'), label-smoothing:0.1, "
            "early-stopping:5, distillation (or distillation:TEMPERATURE), and what --exposure "
            "takes: the report sets accuracy paid beside leakage bought, paired",
        ),
        (
            "mixed_precision",
            "none | bfloat16 | float16: what trainings compute in, with float32 weights; "
            "fine-tuning and exported versions are float32",
        ),
        ("momentum", "momentum of SGD, first beta of AdamW"),
        ("weight_decay", "weight decay; sgd: added to the gradient, adamw: apart from it"),
        ("augmentation", "any of flip, crop; on training batches only, never when observed"),
    ],
    "Texts": [
        ("sequence_length", "tokens of every text; longer ones are cut, shorter ones padded"),
        (
            "vocabulary",
            "members: learned from each family's own members, as its training would; outside: "
            "one for all from validation and population; or a file or folder that holds one",
        ),
        ("vocabulary_size", "tokens of a vocabulary that is learned"),
        (
            "preset",
            "weights to start from: a keras-nlp preset name such as bert_tiny_en_uncased, or a "
            "folder of keras-nlp's or Hugging Face's files; its sizes and vocabulary are used",
        ),
        ("heads", "attention heads; 0: one for every 64 of the width"),
        ("dropout", "share of hidden units that are dropped in training"),
    ],
    "Versions": [
        (
            "versions",
            "versions to make: original, pruning-0.NN, pruning-2:4, clustering-N, int8-qat, "
            "int8-ptq, int16x8-ptq, dynamic-ptq, float16-ptq; by litert-quantizer int4-weights, "
            "int4-dynamic, int4-blockwise-32, int8-dynamic, int8-static, int16-static; or steps "
            "joined by +: pruning, then clustering, then a quantization, such as "
            "pruning-0.80+int8-ptq; or the names of those that --family (make) or "
            "--train_command makes",
        ),
        ("finetune_epochs", "epochs of fine-tuning of each step: pruning, clustering, int8-qat"),
        ("pruning_learning_rate", "first learning rate of pruning"),
        ("clustering_learning_rate", "first learning rate of clustering (averaged gradients)"),
        ("quantization_learning_rate", "first learning rate of int8-qat"),
        (
            "calibration",
            "validation | members: what int8-ptq, int16x8-ptq and static versions find their "
            "activation ranges on; "
            "validation examples are in no training set",
        ),
        ("calibration_size", "how many of them, at most"),
        (
            "max_accuracy_drop",
            "a version that loses more of the validation accuracy above guessing, as a share from "
            "0 to 1, counts as failed",
        ),
    ],
    **QUESTION_FLAGS,
    "Running": [
        *RUNNING,
        ("dry_run", "list what would be done and why, and end"),
    ],
}

AUDIT_FLAGS = {
    "What is audited": [
        (
            "versions",
            "NAME=PATH,...: .tflite, .onnx, .keras or .h5 files, SavedModel folders, or outputs as "
            "MEMBERS.npy+NON_MEMBERS.npy; call the uncompressed one original",
        ),
        (
            "make",
            "int8-dynamic, int4-dynamic (.tflite), int8-static: versions that are made of "
            "original, a float .tflite or .onnx file, and audited beside it; shadows get "
            "theirs, too",
        ),
        (
            "calibration",
            "examples that int8-static versions are calibrated on, neither members nor "
            "non-members; members: those, as it may have been done for what ships",
        ),
        ("members", "examples that the model was trained on, see above"),
        ("non_members", "examples that it was not trained on, alike in every other way"),
        ("data_dir", "folder of prepared TFDS data sets; nothing is ever downloaded"),
        (
            "vocabulary",
            "of texts: the file or folder that holds the versions' vocabulary; a shadow's own is "
            "DIR/vocabulary",
        ),
        ("tokenizer", "bert | gpt2: what such a vocabulary is for"),
        ("sequence_length", "tokens of every text; longer ones are cut, shorter ones padded"),
        (
            "coins",
            "an independent fair coin decided of each of these examples whether it is a member, "
            "before training: then the bound of epsilon is exact for this one training",
        ),
        ("drop_overlap", "leave out examples that are on both sides, instead of refusing them"),
    ],
    "How the files are asked": [
        (
            "preprocess",
            "auto | none | 0-1 | -1-1 | imagenet | module:function: what is done to the inputs; "
            "auto: by the range of the file's input, else 0-1 for uint8 data and none for floats",
        ),
        ("output", "name or number of the output, where a file has several"),
        ("signature", "name of the signature, where a file has several"),
        ("outputs", "auto | probabilities | logits: what the files emit; auto: by a sample"),
        ("label_offset", "added to every label; 1 where output 0 is a background class"),
        ("batch", "examples at a time, where a file leaves that open"),
        ("time_limit", "seconds that a file may take to open, and to answer a batch"),
        ("memory_limit", "GiB of memory that a file's process may take"),
        (
            "stateful",
            "refuse | allow: what to do with a version that answers the same example differently "
            "when asked again; allow: audit it all the same, and say so in the report",
        ),
        (
            "trust_files",
            "open Keras 2 and SavedModel files also where this machine cannot isolate the process "
            "that reads them; such files can run code",
        ),
        ("force", "go on although a version does no better than guessing"),
    ],
    "Shadows": [
        ("shadows", "folders of shadow models that attacks are fitted on; none: cross-fitted"),
        (
            "allow_shared_examples",
            "go on although a shadow's members and non-members tell the target's, and say so in "
            "the report. By content: a common pool from which every model's members were drawn "
            "anew is fine, the target's own lists, or a part of them, are not",
        ),
    ],
    **QUESTION_FLAGS,
    "Running": [
        *RUNNING,
        ("dry_run", "list what would be done and why, and end; the examples are read"),
    ],
}
